import type { VmmConfig } from '../../ports/vmm.ts';
import { jailedSocket, type MachinePaths, ownLog } from './layout.ts';

const LOG = 'firecracker.log';
const KERNEL = 'kernel';
const INITRD = 'initrd';
const disk = (index: number): string => `disk${index}`;

type Files = Pick<VmmConfig, 'stateDirectory' | 'kernel' | 'initrd' | 'disks'>;

/** A file of the host's that is shown in the jail. */
export interface ShownFile {
  readonly path: string;
  /** In the jail's root. */
  readonly name: string;
  readonly readOnly: boolean;
}

/** All of the host's files that a jailed Firecracker has. */
export const shownFiles = (config: Files): readonly ShownFile[] => [
  { path: ownLog(config), name: LOG, readOnly: false },
  { path: config.kernel, name: KERNEL, readOnly: true },
  ...(config.initrd === undefined ? [] : [{ path: config.initrd, name: INITRD, readOnly: true }]),
  ...config.disks.map(({ path, readOnly }, i) => ({ path, name: disk(i), readOnly })),
];

/** Where it finds them. */
export const jailedPaths = ({ initrd, disks }: Pick<Files, 'initrd' | 'disks'>): MachinePaths => ({
  log: `/${LOG}`,
  kernel: `/${KERNEL}`,
  ...(initrd !== undefined && { initrd: `/${INITRD}` }),
  disks: disks.map((_, i) => `/${disk(i)}`),
  socket: jailedSocket,
});
