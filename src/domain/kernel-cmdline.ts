import type { Violation } from './fault.ts';
import { diskName } from './guest-words.ts';
import { wordsOf } from './kernel-words.ts';

export interface CommandLineFacts {
  /** The user's words. */
  readonly cmdline: string;
  /** In the guest's order. */
  readonly disks: readonly {
    readonly isRoot: boolean;
    readonly readOnly: boolean;
    readonly partitionUuid?: string;
  }[];
  /** Words for the guest, from other fields of the spec. */
  readonly guestWords?: readonly string[];
}

/** x86 Linux cuts a longer command line without a word: COMMAND_LINE_SIZE, with the NUL at its end. */
export const COMMAND_LINE_BYTES = 2048 - 1;

/**
 * The kernel's command line: what the machine asks for, the root, what other fields of the spec ask for, then the user's
 * words as he wrote them. A key that he gives takes ours away.
 *
 * @param ofMachine - words that the provider's machine asks for
 * @see Documentation/admin-guide/kernel-parameters.txt
 */
export function mergeCommandLine(
  ofMachine: readonly string[],
  { cmdline, disks, guestWords = [] }: CommandLineFacts,
): string {
  const defaults = [...ofMachine];
  const root = disks.findIndex((disk) => disk.isRoot);
  const uuid = disks[root]?.partitionUuid;
  const device = uuid === undefined ? `/dev/${diskName(root)}` : `PARTUUID=${uuid}`;
  if (root >= 0) defaults.push(`root=${device}`, disks[root]?.readOnly ? 'ro' : 'rw');
  defaults.push(...guestWords);
  const given = keysOf(cmdline);
  return [...defaults.filter((word) => !given.has(keyOf(word))), cmdline.trim()].filter((text) => text).join(' ');
}

/**
 * Whether a command line is too long.
 * @param line - as the kernel gets it, but for what the machine puts behind it
 * @param room - for that line, in bytes
 */
export function commandLineLacks(line: string, guestWords: readonly string[], room: number): readonly Violation[] {
  const bytes = new TextEncoder().encode(line).length;
  if (bytes <= room) return [];
  const description = `makes ${bytes} bytes with ${besides(guestWords)}; the kernel reads only the first ${room}`;
  return [{ field: 'kernel.cmdline', description }];
}

/** Names what takes the room, so that the user knows what to shorten. */
function besides(guestWords: readonly string[]): string {
  const bytesOf = (key: string): number =>
    guestWords
      .filter((word) => word.startsWith(`${key}=`))
      .reduce((sum, word) => sum + new TextEncoder().encode(word).length + 1, 0);
  const parts = [
    ['flintlock.mount', 'for the mount_points'],
    ['flintlock.nic', 'for the names and addresses of interfaces'],
    ['network-config', 'for add_network_config'],
    ['ds', 'for allow_metadata_req'],
  ].flatMap(([key = '', why = '']) => (bytesOf(key) === 0 ? [] : [`${bytesOf(key)} ${why}`]));
  return ['the defaults', ...parts].join(', ');
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
