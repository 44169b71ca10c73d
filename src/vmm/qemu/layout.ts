import { basename, join } from 'node:path';
import type { VmmConfig } from '../../ports/vmm.ts';

/** QEMU's control socket. */
export const qmpSocket = (config: Pick<VmmConfig, 'runDirectory'>): string => join(config.runDirectory, 'qmp.sock');

/** The guest's serial port, for who types: the daemon connects while somebody is attached, the log is the record. */
export const consoleSocket = (config: Pick<VmmConfig, 'runDirectory'>): string =>
  join(config.runDirectory, 'console.sock');

/** The port of the guest's agent: the daemon is connected while the guest runs. */
export const agentSocket = (config: Pick<VmmConfig, 'runDirectory'>): string => join(config.runDirectory, 'agent.sock');

/** Where the daemon connects to the guest's vsock, while it has one: see `vsock-relays.ts`. */
export const vsockSocket = (config: Pick<VmmConfig, 'runDirectory'>): string => join(config.runDirectory, 'vsock.sock');

/** A guest's number on the host's vsock, which no two may share: its user's, which none other has. @see vsock(7) */
export const guestCid = ({ user }: Pick<VmmConfig, 'user'>): number => user;

/** Everything that the guest wrote to its serial port. */
export const consoleLog = (config: Pick<VmmConfig, 'stateDirectory'>): string =>
  join(config.stateDirectory, 'console.log');

/** QEMU's own standard output and error. */
export const vmmLog = (config: Pick<VmmConfig, 'stateDirectory'>): string => join(config.stateDirectory, 'vmm.log');

/**
 * A value in one of QEMU's `key=value,key=value` options, where a comma ends
 * the value and two are one.
 * @see qemu(1), "Device driver properties"; util/qemu-option.c, get_opt_value
 */
export const optionValue = (text: string): string => text.replaceAll(',', ',,');

/** The two arguments that name the microVM on QEMU's command line: `-name` carries the uid, the control socket the run directory. */
export function identifyingArguments(config: Pick<VmmConfig, 'uid' | 'runDirectory'>): {
  readonly name: string;
  readonly qmp: string;
} {
  return {
    name: `guest=${optionValue(config.uid)}`,
    qmp: `socket,id=qmp,path=${optionValue(qmpSocket(config))},server=on,wait=off`,
  };
}

/** Proves by its command line that a process is the QEMU of one microVM. */
export function isOf(config: Pick<VmmConfig, 'uid' | 'runDirectory'>): (argv: readonly string[]) => boolean {
  const { name, qmp } = identifyingArguments(config);
  return (argv) => argv.includes(name) && argv.includes(qmp);
}

/**
 * Whether a process runs QEMU's program, whosoever's it is.
 * @param exe - as /proc/PID/exe names it; empty where it could not be read
 */
export function isProgram(binary: string, argv: readonly string[], exe: string): boolean {
  const name = basename(binary);
  // An upgrade of the package replaces the file below a QEMU that runs on.
  const file = basename(exe.replace(/ \(deleted\)$/, ''));
  const first = basename(argv[0] ?? '');
  if (file === name || first === name || first.startsWith('qemu-system-')) return true;
  // Before setpriv has become QEMU, and where the program is a script, it is an argument.
  return binary.startsWith('/') && argv.slice(0, 4).includes(binary);
}
