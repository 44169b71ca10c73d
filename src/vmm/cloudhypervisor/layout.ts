import { basename, join } from 'node:path';
import type { VmmConfig } from '../../ports/vmm.ts';

/** What Cloud Hypervisor is spoken to over. */
export const apiSocket = (config: Pick<VmmConfig, 'runDirectory'>): string => join(config.runDirectory, 'api.sock');

/** The VMM's user makes a socket in it, at each boot of the guest anew: it is his. */
export const agentDirectory = (config: Pick<VmmConfig, 'runDirectory'>): string => join(config.runDirectory, 'agent');

/** In that directory. */
export const AGENT_SOCKET = 'vsock';

/** The guest's vsock: who connects to it asks for a port. */
export const agentSocket = (config: Pick<VmmConfig, 'runDirectory'>): string =>
  join(agentDirectory(config), AGENT_SOCKET);

/** Everything that the guest wrote to its serial port. */
export const consoleLog = (config: Pick<VmmConfig, 'stateDirectory'>): string =>
  join(config.stateDirectory, 'console.log');

/** Cloud Hypervisor's own standard error. */
export const vmmLog = (config: Pick<VmmConfig, 'stateDirectory'>): string => join(config.stateDirectory, 'vmm.log');

/** What Cloud Hypervisor tells unasked: begun anew at each start. Its name has the uid, which so stands on the command line. */
export const eventsFile = (config: Pick<VmmConfig, 'uid' | 'stateDirectory'>): string =>
  join(config.stateDirectory, eventsName(config.uid));

/** Every file and socket there may be. The state directory is named after its microVM. */
export const pathsOf = (config: Pick<VmmConfig, 'stateDirectory' | 'runDirectory'>): readonly string[] => [
  apiSocket(config),
  agentDirectory(config),
  agentSocket(config),
  consoleLog(config),
  vmmLog(config),
  eventsFile({ uid: basename(config.stateDirectory), stateDirectory: config.stateDirectory }),
];

/** Of the events' file. */
export const eventsName = (uid: string): string => `events-${uid}`;

/**
 * Descriptors that Cloud Hypervisor finds open. Its user may pass through no directory above its files, so they are named
 * by these; and above all that perl opens for itself.
 */
export const DESCRIPTORS = {
  /** The state directory. */
  directory: 20,
  /** The other end of its standard input: who holds it types. */
  keyboard: 21,
  api: 22,
  /** And from here on, the files. */
  files: 23,
} as const;

/** As Cloud Hypervisor names what it has open. */
export const openPath = (descriptor: number): string => `/proc/self/fd/${descriptor}`;

/** The argument that names the microVM on the command line. */
export const identifyingArgument = ({ uid }: Pick<VmmConfig, 'uid'>): string =>
  `path=${openPath(DESCRIPTORS.directory)}/${eventsName(uid)}`;

/** Proves by its command line that a process is the Cloud Hypervisor of one microVM. */
export function isOf(config: Pick<VmmConfig, 'uid'>): (argv: readonly string[]) => boolean {
  const wanted = identifyingArgument(config);
  return (argv) => argv.includes(wanted);
}

/**
 * Whether a process runs Cloud Hypervisor's program, whosoever's it is.
 * @param exe - as /proc/PID/exe names it; empty where it could not be read
 */
export function isProgram(binary: string, argv: readonly string[], exe: string): boolean {
  const name = basename(binary);
  // An upgrade of the package replaces the file below one that runs on.
  const file = basename(exe.replace(/ \(deleted\)$/, ''));
  const first = basename(argv[0] ?? '');
  if (file === name || first === name || first === 'cloud-hypervisor') return true;
  // Before perl has become it, and where the program is a script, it is an argument; it is one of the daemon's, too.
  return argv.includes('--event-monitor') && argv.some((word) => basename(word) === name);
}
