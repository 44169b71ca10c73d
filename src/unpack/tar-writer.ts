import type { Bytes, EntryType, Sparse, TarEntry } from '../tar/entry.ts';

const BLOCK = 512;
const FLAGS: Readonly<Record<EntryType, string>> = {
  ...{ file: '0', 'hard link': '1', symlink: '2', 'character device': '3', 'block device': '4' },
  ...{ directory: '5', fifo: '6' },
};
const MAX_OCTAL_7 = 8 ** 7 - 1;
const MAX_OCTAL_11 = 8 ** 11 - 1;

/** What is written of an entry; `name` and `link` are from the root, without a leading `/`. */
export type Written = Pick<
  TarEntry,
  'type' | 'name' | 'link' | 'mode' | 'uid' | 'gid' | 'mtime' | 'device' | 'xattrs'
> & {
  /** Bytes of data that follow. */
  readonly size: number;
  readonly sparse?: Sparse;
};

/**
 * The headers of an entry, in the form of POSIX with GNU's for sparse files:
 * its data, filled up to whole blocks, is to follow.
 */
export function headerOf(entry: Written): Buffer {
  const map = entry.sparse && sparseMap(entry.sparse);
  const size = entry.size + (map?.length ?? 0);
  const { seconds, fraction } = entry.mtime;
  const name = `./${entry.name}`;
  const link = entry.type === 'hard link' ? `./${entry.link}` : entry.link;
  const records: [Bytes, Bytes][] = [];
  if (entry.sparse)
    records.push(
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.name', name],
      ['GNU.sparse.realsize', String(entry.sparse.size)],
    );
  else if (name.length > 100) records.push(['path', name]);
  if (link.length > 100) records.push(['linkpath', link]);
  if (size > MAX_OCTAL_11) records.push(['size', String(size)]);
  if (entry.uid > MAX_OCTAL_7) records.push(['uid', String(entry.uid)]);
  if (entry.gid > MAX_OCTAL_7) records.push(['gid', String(entry.gid)]);
  if (fraction !== '' || seconds > MAX_OCTAL_11) records.push(['mtime', `${seconds}.${fraction || '0'}`]);
  for (const [key, value] of entry.xattrs)
    records.push([`SCHILY.xattr.${key.replaceAll('%', '%25').replaceAll('=', '%3D')}`, value]);
  const own = block(FLAGS[entry.type], entry.sparse ? 'GNUSparseFile' : name, link, entry, size);
  const parts = map ? [own, map] : [own];
  if (records.length === 0) return map ? Buffer.concat(parts) : own;
  const pax = Buffer.concat(records.map(([key, value]) => record(key, value)));
  const none = { mode: 0o600, uid: 0, gid: 0, mtime: { seconds: 0, fraction: '' }, device: [0, 0] } as const;
  return Buffer.concat([block('x', 'pax', '', none, pax.length), pax, fill(pax.length), ...parts]);
}

/** What fills data up to whole blocks. */
export const fill = (size: number): Buffer => ZEROS.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);

/** The end of an archive. */
export const END: Buffer = Buffer.alloc(2 * BLOCK);
const ZEROS = Buffer.alloc(BLOCK);

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function record(key: Bytes, value: Bytes): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

/** @see "Storing Sparse Files, PAX Format, Version 1.0" in GNU tar's manual */
function sparseMap({ size, parts }: Sparse): Buffer {
  // GNU tar wants the end told by a piece of nothing, where the file ends with a hole.
  const all = [...parts, [size, 0] as const];
  const text = Buffer.from(`${all.length}\n${all.map(([at, length]) => `${at}\n${length}\n`).join('')}`);
  return Buffer.concat([text, fill(text.length)]);
}

function block(
  flag: string,
  name: Bytes,
  link: Bytes,
  { mode, uid, gid, mtime, device }: Pick<Written, 'mode' | 'uid' | 'gid' | 'mtime' | 'device'>,
  size: number,
): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void => {
    // What does not fit stands in a pax record.
    const fits = value <= (length === 8 ? MAX_OCTAL_7 : MAX_OCTAL_11);
    header.write((fits ? value : 0).toString(8).padStart(length - 1, '0'), at, 'latin1');
  };
  header.write(name, 0, 100, 'latin1');
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(mtime.seconds, 136, 12);
  header.write('        ', 148, 'latin1'); // the checksum counts itself as spaces
  header.write(flag, 156, 'latin1');
  header.write(link, 157, 100, 'latin1');
  header.write('ustar\u000000', 257, 'latin1');
  octal(device[0], 329, 8);
  octal(device[1], 337, 8);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0`, 148, 'latin1');
  return header;
}
