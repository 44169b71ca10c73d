import { type CommandLineFacts, mergeCommandLine } from '../../domain/kernel-cmdline.ts';

/**
 * The kernel's command line on this machine.
 *
 * - `console=ttyS0`: the only console that a microVM has.
 * - `reboot=t`: a triple fault, which every machine understands.
 * - `panic=-1`: reboot at once, so that a panic is seen and not waited for.
 * - `tsc_early_khz`: under software emulation the kernel else measures it and may hang.
 * - `tsc=reliable`: on a busy host it else gives the counter up, which is the host's own and right, for one that loses time.
 *
 * @param facts - `tscKhz`: the rate of the guest's time stamp counter in kHz, where the kernel must be told
 */
export function commandLine({ tscKhz, ...facts }: CommandLineFacts & { readonly tscKhz?: number }): string {
  const clock = tscKhz === undefined ? [] : [`tsc_early_khz=${tscKhz}`, 'tsc=reliable'];
  return mergeCommandLine(['console=ttyS0', 'reboot=t', 'panic=-1', ...clock], facts);
}
