import { type CommandLineFacts, mergeCommandLine } from '../../domain/kernel-cmdline.ts';

/**
 * The kernel's command line on this machine. Firecracker puts behind it how its devices are found.
 *
 * - `console=ttyS0`: the only console that it has.
 * - `reboot=k`: by the keyboard's reset line, at which Firecracker ends. Without it a guest that reboots stands still for ever.
 * - `panic=1`: reboot after a second, so that a panic is seen and not waited for.
 * - `i8042.…`: that there is no more than that of a keyboard is not probed for.
 *
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/src/vmm/src/vmm_config/boot_source.rs `DEFAULT_KERNEL_CMDLINE`
 */
export const commandLine = (facts: CommandLineFacts): string =>
  mergeCommandLine(['console=ttyS0', 'reboot=k', 'panic=1', 'i8042.noaux', 'i8042.nomux', 'i8042.dumbkbd'], facts);
