import { type CommandLineFacts, mergeCommandLine } from '../../domain/kernel-cmdline.ts';

/**
 * The kernel's command line on this machine.
 *
 * - `console=ttyS0`: the only console that a microVM has.
 * - `reboot=k`: the keyboard's reset line, the one port of it that the machine has.
 * - `panic=-1`: reboot at once, so that a panic is seen where the kernel has no driver for the panic device.
 */
export const commandLine = (facts: CommandLineFacts): string =>
  mergeCommandLine(['console=ttyS0', 'reboot=k', 'panic=-1'], facts);
