import { wantsAgent } from '../../domain/agent-report.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { DEVICES_BESIDE_AGENT } from './capabilities.ts';
import {
  AGENT_SOCKET,
  agentDirectory,
  apiSocket,
  consoleLog,
  DESCRIPTORS,
  eventsFile,
  identifyingArgument,
  openPath,
} from './layout.ts';
import { STARTER } from './perl.ts';

export interface Machine {
  /** The program, by name or path. */
  readonly binary: string;
  /** Whether it is told to stay when its guest powers itself off: since version 52 it can be. */
  readonly stays: boolean;
}

/** What the starter can have of root's capabilities; it loses all of them when it changes to the microVM's user. */
const CAPABILITIES = '-all,+chown,+dac_override,+fowner,+setuid,+setgid';

/** It is told to stay: a guest's power-off leaves a machine that can be booted again, and tells it from other ends. */
const STAYS = '--no-shutdown';

/**
 * The whole command line that starts a Cloud Hypervisor, without a machine: that it is told over its socket. As it cannot
 * change its user itself, perl opens as root what it is to have, and becomes it.
 */
export function startArgv(config: VmmConfig, { binary, stays }: Machine): [string, ...string[]] {
  return [
    'setpriv',
    '--no-new-privs',
    `--bounding-set=${CAPABILITIES}`,
    ...['perl', '-e', STARTER, '--'],
    String(config.user),
    config.stateDirectory,
    consoleLog(config),
    eventsFile(config),
    apiSocket(config),
    ...openedFiles(config).flatMap(({ path, own }) => [own ? 'w' : 'r', path]),
    ...(hasAgentWay(config) ? ['d', agentDirectory(config)] : []),
    '--',
    binary,
    ...['--api-socket', `fd=${DESCRIPTORS.api}`],
    ...['--event-monitor', identifyingArgument(config)],
    ...['--seccomp', 'true'],
    ...(stays ? [STAYS] : []),
  ];
}

/** @param argv - that it was started with, perhaps by another daemon */
export const staysOf = (argv: readonly string[]): boolean => argv.includes(STAYS);

/** In the order of their descriptors. `own`: it writes to it, and nobody else. */
export const openedFiles = ({
  kernel,
  initrd,
  disks,
}: Pick<VmmConfig, 'kernel' | 'initrd' | 'disks'>): readonly { readonly path: string; readonly own: boolean }[] => [
  { path: kernel, own: false },
  ...(initrd === undefined ? [] : [{ path: initrd, own: false }]),
  ...disks.map(({ path, readOnly }) => ({ path, own: !readOnly })),
];

/** Whether there is a vsock for the guest's agent: asked for by name there must be room, see `limits.ts`. */
const hasAgentWay = ({ options = {}, disks, nics }: Pick<VmmConfig, 'options' | 'disks' | 'nics'>): boolean =>
  wantsAgent(options) && disks.length + nics.length <= DEVICES_BESIDE_AGENT;

/** Where it finds kernel, initrd and disks, and where it makes the socket of the guest's vsock, if it is to have one. */
export function openedPaths(config: Pick<VmmConfig, 'options' | 'initrd' | 'disks' | 'nics'>): {
  readonly kernel: string;
  readonly initrd?: string;
  readonly disks: readonly string[];
  readonly agent?: string;
} {
  const { initrd, disks } = config;
  const first = DESCRIPTORS.files + (initrd === undefined ? 1 : 2);
  return {
    kernel: openPath(DESCRIPTORS.files),
    ...(initrd !== undefined && { initrd: openPath(DESCRIPTORS.files + 1) }),
    disks: disks.map((_, i) => openPath(first + i)),
    // The last one: where the others are does not change with it.
    ...(hasAgentWay(config) && { agent: `${openPath(first + disks.length)}/${AGENT_SOCKET}` }),
  };
}
