import type { VmmConfig } from '../../ports/vmm.ts';
import { API_SOCKET, type MachinePaths, METRICS_PIPE, metricsArguments, openPaths } from './layout.ts';
import { optionsOf } from './options.ts';
import { OPEN_STARTER, readyWords } from './ready-perl.ts';

export interface Way {
  /** The program, by name or path. */
  readonly binary: string;
  /** Those by which its user may open devices: see `devices.ts`. */
  readonly groups: readonly number[];
}

/**
 * The beginning of a command line that runs a program as an unprivileged user who can gain no rights any more.
 * @param groups - those that he has beside his own, by number
 * @see setpriv(1)
 */
export const asUser = (user: number, groups: readonly number[]): readonly [string, ...string[]] => [
  'setpriv',
  '--no-new-privs',
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--ambient-caps=-all',
  `--reuid=${user}`,
  `--regid=${user}`,
  groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
];

/**
 * The whole command line that starts a Firecracker, without a machine: that it is told over its socket. As it cannot change
 * its user itself, it begins as the microVM's own, and finds open what that may not open.
 */
export const firecrackerArgv = (
  config: Pick<
    VmmConfig,
    'uid' | 'user' | 'runDirectory' | 'stateDirectory' | 'initrd' | 'disks' | 'nics' | 'metadata' | 'options'
  >,
  { binary, groups }: Way,
): [string, ...string[]] => [
  ...(['perl', '-e', OPEN_STARTER, '--'] as const),
  ...readyWords(config),
  ...groups.map(String),
  ...['--', binary],
  ...['--id', config.uid],
  ...firecrackerArguments(API_SOCKET, openPaths(config), config),
];

/**
 * What metadata may be as JSON, in bytes: all that one may have (`MAX_MMDS_BYTES`), each of them written with six, and what is ours.
 * Without it Firecracker takes 51,200, of which nobody can know before what JSON makes of it.
 */
const MMDS_BYTES = 1 << 20;

/** What Firecracker is told beside whose it is. @param socket - that it is spoken to over, as it finds it */
export const firecrackerArguments = (
  socket: string,
  { log, socket: placed }: Pick<MachinePaths, 'log' | 'socket'>,
  { metadata, options }: Pick<VmmConfig, 'metadata' | 'options'>,
): readonly string[] => [
  ...['--api-sock', socket],
  // Else its log is in the console.
  ...['--log-path', log],
  // What it tells below that is each question of ours, every few seconds.
  ...['--level', 'Warning'],
  ...metricsArguments(placed(METRICS_PIPE)),
  ...(optionsOf({ options }).pci ? ['--enable-pci'] : []),
  ...(metadata === undefined ? [] : ['--http-api-max-payload-size', String(MMDS_BYTES)]),
];
