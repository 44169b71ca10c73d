import { wantsAgent } from '../../domain/agent-report.ts';
import type { VmmConfig, VmmDisk } from '../../ports/vmm.ts';
import { roomFor } from '../supervisor/agent-place.ts';
import { DEVICES_BESIDE_AGENT } from './capabilities.ts';
import { agentDirectory, DESCRIPTORS, openPath } from './layout.ts';

/** What Cloud Hypervisor finds open, and may open anew by the name of its descriptor. */
interface Opened {
  readonly is: 'kernel' | 'initrd' | 'disk' | 'agent' | 'base';
  readonly path: string;
  /** `r`: shared; `w`: its user's; `q`: its user's, an overlay that names its base; `d`: a directory that is made for its user. */
  readonly how: 'r' | 'w' | 'q' | 'd';
  /** As Cloud Hypervisor names it. */
  readonly at: string;
  /** Of an overlay: as that names its base. */
  readonly below?: string;
}

type Files = Pick<VmmConfig, 'runDirectory' | 'options' | 'kernel' | 'initrd' | 'disks' | 'nics'>;

/** Whether there is a vsock for the guest's agent: asked for by name there must be room, see `limits.ts`. */
const hasAgentWay = ({ options = {}, disks, nics }: Files): boolean =>
  wantsAgent(options) && disks.length + nics.length <= roomFor(options, DEVICES_BESIDE_AGENT);

const baseOf = ({ format, backing }: VmmDisk): string | undefined => (format === 'qcow2' ? backing : undefined);

/** All of it, in the order of the descriptors. What there may not be is behind what there is: where others are does not change with it. */
export function openedFor(config: Files): readonly Opened[] {
  const { kernel, initrd, disks } = config;
  const opened: Opened[] = [];
  const next = (): string => openPath(DESCRIPTORS.files + opened.length);
  opened.push({ is: 'kernel', path: kernel, how: 'r', at: next() });
  if (initrd !== undefined) opened.push({ is: 'initrd', path: initrd, how: 'r', at: next() });
  const agents = hasAgentWay(config) ? 1 : 0;
  let base = DESCRIPTORS.files + opened.length + disks.length + agents;
  for (const disk of disks) {
    const { path, readOnly } = disk;
    const how = baseOf(disk) === undefined ? (readOnly ? 'r' : 'w') : 'q';
    opened.push({ is: 'disk', path, how, at: next(), ...(how === 'q' && { below: openPath(base++) }) });
  }
  if (agents > 0) opened.push({ is: 'agent', path: agentDirectory(config), how: 'd', at: next() });
  for (const path of disks.flatMap((disk) => baseOf(disk) ?? []))
    opened.push({ is: 'base', path, how: 'r', at: next() });
  return opened;
}

/** Its words with the paths of the host's in them, where it names its descriptors. */
export function withPaths(words: string, config: Files): string {
  const paths = new Map(openedFor(config).map(({ at, path }) => [at, path]));
  return words.replace(/\/+proc\/self\/fd\/\d+/g, (at) => paths.get(at.replace(/^\/+/, '/')) ?? at);
}
