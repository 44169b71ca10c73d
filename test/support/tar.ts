/** One entry of a tar file; nothing is checked, so that tests can write what no tool would. */
export interface TarEntry {
  readonly name: string;
  readonly type?: 'file' | 'hard link' | 'symlink' | 'character device' | 'block device' | 'directory' | 'fifo';
  readonly data?: string | Uint8Array;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970; default: 1600000000. */
  readonly mtime?: number;
  /** The type's character, in place of `type`. */
  readonly flag?: string;
  /** Where a link leads. */
  readonly link?: string;
  /** Major and minor number. */
  readonly device?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, string | Uint8Array>>;
  /** Further records of the pax header, such as `path`. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
  /** In place of the name, for bytes that are no text. */
  readonly nameBytes?: Uint8Array;
}

const TYPES = {
  file: '0',
  'hard link': '1',
  symlink: '2',
  'character device': '3',
  'block device': '4',
  directory: '5',
  fifo: '6',
} as const;
const BLOCK = 512;

/** @see pax(1) of POSIX: ustar interchange format, with pax headers for extended attributes */
export function tar(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocks), Buffer.alloc(2 * BLOCK)]);
}

function blocks(entry: TarEntry): Buffer[] {
  const data = Buffer.from(entry.data ?? '');
  const own = [header(entry, entry.flag ?? TYPES[entry.type ?? 'file'], data.length), padded(data)];
  const xattrs = Object.entries(entry.xattrs ?? {}).map(([name, value]) => [`SCHILY.xattr.${name}`, value] as const);
  const records = [...xattrs, ...Object.entries(entry.pax ?? {})];
  if (records.length === 0) return own;
  const pax = Buffer.concat(records.map(([name, value]) => record(name, value)));
  return [header({ name: 'PaxHeader' }, 'x', pax.length), padded(pax), ...own];
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function record(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

/** The header of a file whose data the caller writes; above 8 GiB the size is in base 256, as GNU tar does. */
export const fileHeader = (name: string, size: number): Buffer => header({ name }, TYPES.file, size);

function header(entry: TarEntry, type: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void => {
    if (value < 0 || value >= 8 ** (length - 1)) {
      // Base 256, as GNU tar writes what octal cannot hold.
      const bits = BigInt.asUintN(8 * length, BigInt(value));
      for (let i = 0; i < length; i++) block.writeUInt8(Number((bits >> BigInt(8 * (length - 1 - i))) & 0xffn), at + i);
      block.writeUInt8(block.readUInt8(at) | 0x80, at);
      return;
    }
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  };
  if (entry.nameBytes) block.set(entry.nameBytes.subarray(0, 100));
  else block.write(entry.name, 0, 100);
  octal(entry.mode ?? (entry.type === 'directory' ? 0o755 : 0o644), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  if (size < 8 ** 11) octal(size, 124, 12);
  else {
    block.writeUInt8(0x80, 124);
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(entry.mtime ?? 1_600_000_000, 136, 12);
  block.write('        ', 148, 'latin1'); // the checksum counts itself as spaces
  block.write(type, 156, 'latin1');
  block.write(entry.link ?? '', 157, 100);
  block.write('ustar\u000000', 257, 'latin1');
  octal(entry.device?.[0] ?? 0, 329, 8);
  octal(entry.device?.[1] ?? 0, 337, 8);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}
