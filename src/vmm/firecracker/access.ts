import { allDone } from '../../base/all-done.ts';
import type { Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { ownLog } from './layout.ts';
import { isOwn } from './ready-perl.ts';

interface Hands {
  readonly files: Pick<Files, 'setMode' | 'stat' | 'write'>;
}

const READ_BY_ALL = 0o444;
const ROOT = 0;

/**
 * Lets what all share be read by the microVM's own user: it lies where only root may enter, so it helps nobody whom it is not given open. What is
 * the microVM's own becomes his by what becomes Firecracker: `PERL_READY`.
 */
export async function prepare(config: VmmConfig, { files }: Hands): Promise<void> {
  const { kernel, initrd, disks } = config;
  const readable = async (path: string): Promise<void> => {
    const mode = (await files.stat(path))?.mode;
    if (mode !== undefined && (mode & READ_BY_ALL) !== READ_BY_ALL) await files.setMode(path, mode | READ_BY_ALL);
  };
  const shared = disks.filter((disk) => !isOwn(config, disk)).map(({ path }) => path);
  await allDone([
    files.write(ownLog(config), ''),
    ...[kernel, ...(initrd === undefined ? [] : [initrd]), ...shared].map(readable),
  ]);
}

/**
 * Once Firecracker has made its sockets, and before its guest runs: what has broken out of that must not put another socket in the place of
 * its own, which we would speak to as root.
 */
export const takeBack = ({ runDirectory }: Pick<VmmConfig, 'runDirectory'>, files: Pick<Files, 'own'>): Promise<void> =>
  files.own(runDirectory, ROOT);
