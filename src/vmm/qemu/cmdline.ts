import { diskName } from '../../domain/guest-words.ts';
import { wordsOf } from '../../domain/kernel-words.ts';
import type { VmmDisk } from '../../ports/vmm.ts';

export interface CommandLineFacts {
  /** The user's words. */
  readonly cmdline: string;
  /** In the guest's order. */
  readonly disks: readonly Pick<VmmDisk, 'isRoot' | 'readOnly' | 'partitionUuid'>[];
  /** Words for the guest, from other fields of the spec. */
  readonly guestWords?: readonly string[];
  /** The rate of the guest's time stamp counter in kHz, where the kernel must be told. */
  readonly tscKhz?: number;
}

/**
 * The kernel's command line: our defaults, what other fields of the spec ask
 * for, then the user's words as he wrote them. A key that he gives takes ours
 * away.
 *
 * - `console=ttyS0`: the only console that a microVM has.
 * - `reboot=t`: a triple fault, which every machine understands.
 * - `panic=-1`: reboot at once, so that a panic is seen and not waited for.
 * - `tsc_early_khz`: under software emulation the kernel else measures it and may hang.
 * - `tsc=reliable`: on a busy host it else gives the counter up, which is the host's own and right, for one that loses time.
 * @see Documentation/admin-guide/kernel-parameters.txt
 */
export function commandLine({ cmdline, disks, guestWords = [], tscKhz }: CommandLineFacts): string {
  const defaults = ['console=ttyS0', 'reboot=t', 'panic=-1'];
  if (tscKhz !== undefined) defaults.push(`tsc_early_khz=${tscKhz}`, 'tsc=reliable');
  const root = disks.findIndex((disk) => disk.isRoot);
  const uuid = disks[root]?.partitionUuid;
  const device = uuid === undefined ? `/dev/${diskName(root)}` : `PARTUUID=${uuid}`;
  if (root >= 0) defaults.push(`root=${device}`, disks[root]?.readOnly ? 'ro' : 'rw');
  defaults.push(...guestWords);
  const given = keysOf(cmdline);
  return [...defaults.filter((word) => !given.has(keyOf(word))), cmdline.trim()].filter((text) => text).join(' ');
}

/** The keys that a command line gives, up to `--`, after which all belongs to init. */
export function keysOf(cmdline: string): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const word of wordsOf(cmdline)) {
    if (word === '--') break;
    keys.add(keyOf(word));
  }
  return keys;
}

/** A word's key: Linux takes `-` and `_` in it for the same; `ro` and `rw` are two values of one. */
function keyOf(word: string): string {
  const text = word.startsWith('"') ? word.slice(1) : word;
  const end = text.indexOf('=');
  const key = (end < 0 ? text.replace(/"$/, '') : text.slice(0, end)).replaceAll('-', '_');
  return key === 'rw' ? 'ro' : key;
}
