import { basename, join } from 'node:path';
import type { OpenFile } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

type Run = Pick<VmmConfig, 'runDirectory'>;
type State = Pick<VmmConfig, 'stateDirectory'>;

/** As Firecracker is told it: its user may enter the directory that it begins in, and none above. */
export const API_SOCKET = 'api.sock';

/** The run-time directory as a jailed Firecracker has it. It begins in the root of its jail. */
const JAILED_RUN = 'run';

/** A socket of the run-time directory as a jailed Firecracker is told it. */
export const jailedSocket = (name: string): string => `${JAILED_RUN}/${name}`;

/** As a jailed Firecracker is told {@link API_SOCKET}. */
export const JAILED_API_SOCKET = jailedSocket(API_SOCKET);

/** What Firecracker is spoken to over. */
export const apiSocket = (config: Run): string => join(config.runDirectory, API_SOCKET);

/** As Firecracker is told it, from where it begins. */
export const AGENT_SOCKET = 'agent.sock';

/** The guest's vsock: who connects to it asks for a port. */
export const agentSocket = (config: Run): string => join(config.runDirectory, AGENT_SOCKET);

/** The guest's serial port, for who types: a FIFO that is Firecracker's standard input. */
export const consoleInput = (config: Run): string => join(config.runDirectory, 'console.in');

/** As Firecracker is told it, from where it begins. */
export const METRICS_PIPE = 'metrics';

/** What Firecracker counts: a FIFO, which holds 64 KiB and no more. */
export const metricsPipe = (config: Run): string => join(config.runDirectory, METRICS_PIPE);

/** Everything that the guest wrote to its serial port: Firecracker's standard output. */
export const consoleLog = (config: State): string => join(config.stateDirectory, 'console.log');

/** What goes wrong with the process itself: its standard error. */
export const vmmLog = (config: State): string => join(config.stateDirectory, 'vmm.log');

/** Firecracker's own log of the last run. It writes from the beginning of the file, whatever stands there. */
export const ownLog = (config: State): string => join(config.stateDirectory, 'firecracker.log');

/** The first descriptor behind standard input, output and error. */
const FIRST_OPEN = 3;

type Files = Pick<VmmConfig, 'stateDirectory' | 'kernel' | 'initrd' | 'disks'>;

/** The files that Firecracker must find open, in the order of their descriptors: its user may enter no directory where they lie. */
export const openFiles = (config: Files): readonly OpenFile[] => [
  { path: ownLog(config) },
  { path: config.kernel, readOnly: true },
  ...(config.initrd === undefined ? [] : [{ path: config.initrd, readOnly: true } as const]),
  ...config.disks.map(({ path, readOnly }) => ({ path, ...(readOnly && ({ readOnly } as const)) })),
];

/**
 * Where Firecracker finds a file that it was given open. It opens that anew, for which the file's own permissions count.
 * @param index - in {@link openFiles}
 * @see proc_pid_fd(5)
 */
const openPath = (index: number): string => `/proc/self/fd/${FIRST_OPEN + index}`;

/** Where Firecracker finds what it has of the host's. */
export interface MachinePaths {
  readonly log: string;
  readonly kernel: string;
  readonly initrd?: string;
  readonly disks: readonly string[];
  /** @param name - of a socket or FIFO in the run-time directory */
  socket(name: string): string;
}

/** Where Firecracker finds what {@link openFiles} has: one that is in no jail. */
export function openPaths(config: Pick<Files, 'initrd' | 'disks'>): MachinePaths {
  const first = config.initrd === undefined ? 2 : 3;
  return {
    log: openPath(0),
    kernel: openPath(1),
    ...(config.initrd !== undefined && { initrd: openPath(2) }),
    disks: config.disks.map((_, i) => openPath(first + i)),
    // It begins in that directory.
    socket: (name) => name,
  };
}

const METRICS_FLAG = '--metrics-path';

/** How Firecracker is told where to count to. @param pipe - as it finds it */
export const metricsArguments = (pipe: string): readonly string[] => [METRICS_FLAG, pipe];

/** Whether a Firecracker of ours, perhaps of another daemon, counts for us. */
export const hasMetrics = (argv: readonly string[]): boolean => argv.includes(METRICS_FLAG);

const socketIn = (argv: readonly string[]): string | undefined => argv[argv.indexOf('--api-sock') + 1];

/** Whether a Firecracker of ours is in a jail, or is about to be. */
export const isJailed = (argv: readonly string[]): boolean => socketIn(argv) === JAILED_API_SOCKET;

/** Proves by its command line that a process is the Firecracker of one microVM: a uid is one microVM's on any host. */
export function isOf({ uid }: Pick<VmmConfig, 'uid'>): (argv: readonly string[]) => boolean {
  return (argv) => argv[argv.indexOf('--id') + 1] === uid && (socketIn(argv) === API_SOCKET || isJailed(argv));
}

/**
 * Whether a process runs Firecracker's program, whosoever's it is.
 * @param exe - as /proc/PID/exe names it; empty where it could not be read
 */
export function isProgram(binary: string, argv: readonly string[], exe: string): boolean {
  const name = basename(binary);
  // An upgrade of the package replaces the file below a Firecracker that runs on.
  const file = basename(exe.replace(/ \(deleted\)$/, ''));
  // In a jail the file has the name that a symlink led to.
  if (file === name || basename(argv[0] ?? '') === name || isJailed(argv)) return true;
  // Before perl has become Firecracker, and where the program is a script, it is an argument.
  return argv.includes(binary) && argv.includes('--api-sock');
}
