import type { VmmConfig } from '../../ports/vmm.ts';
import { apiSocket, consoleLog, DESCRIPTORS, eventsFile, identifyingArgument } from './layout.ts';
import { openedFor } from './opened.ts';
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
    ...openedFor(config).flatMap(({ how, path, below }) => [how, path, ...(below === undefined ? [] : [below])]),
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
