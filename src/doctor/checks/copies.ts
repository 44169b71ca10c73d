import { PROVIDERS } from '../../vmm/registry.ts';
import type { Check } from '../check.ts';
import { ask, nearestDirectory } from '../look.ts';

/** File systems that can share blocks between files, as stat(1) names them. XFS only if made with reflink=1, the default since 2018. */
const REFLINKS = ['btrfs', 'xfs', 'bcachefs', 'ocfs2'];
/** They are in memory: what is there is gone with the power, and takes memory from VMs. */
const IN_MEMORY = ['tmpfs', 'ramfs'];

/** Who runs a VM on a qcow2 overlay. */
const OVERLAYS = PROVIDERS.filter(({ machines }) =>
  machines.some(({ capabilities }) => capabilities.diskFormats.includes('qcow2')),
)
  .map(({ title }) => title)
  .join(' or ');

/** What a VM's own copy of a disk image costs here. */
export const copies: Check = {
  name: 'volume copies',
  async examine(host) {
    const where = await nearestDirectory(host, host.stateDirectory);
    const { ok, text } = await ask(host, ['stat', '--file-system', '--format', '%T', where]);
    if (!ok)
      return [
        {
          name: 'volume copies',
          status: 'warn',
          found: `cannot tell the file system: ${text}`,
          fix: 'Look at it by hand: df -T',
        },
      ];
    if (IN_MEMORY.includes(text)) {
      const found = `${where} is on ${text}, in memory: images and volumes take memory from VMs and do not outlive a reboot`;
      return [{ name: 'volume copies', status: 'warn', found, fix: 'Use a disk: flintlockd run --state-dir DIR' }];
    }
    const found = REFLINKS.includes(text)
      ? `${where} is on ${text}: a copy is a reflink, which costs no time and only the blocks that the VM writes`
      : `${where} is on ${text}, without reflinks: a copy is a qcow2 overlay where ${OVERLAYS} runs the VM (no time, only the blocks that the VM writes), else a sparse copy (time and disk for all that is in the image)`;
    return [{ name: 'volume copies', status: 'ok', found, fix: '' }];
  },
};
