import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Blobs } from './image-corpus.ts';
import { bzip2, xz } from './packers.ts';
import { type TarEntry, tar } from './tar.ts';

/** An image as others make it, and the tree that Docker and containerd make of it. */
export interface Foreign {
  readonly tag: string;
  /** Archives, from the lowest to the highest layer; with how they are packed and what is said of that. */
  readonly layers: readonly Layer[];
  /** Lines of `listTree`, less that of the root where that is `. directory 0755 0:0 @0`. */
  readonly tree: readonly string[];
}

interface Layer {
  readonly archive: Buffer;
  readonly pack: (archive: Buffer) => Buffer;
  readonly mediaType: string;
}

const OCI = 'application/vnd.oci.image.layer.v1.tar';
const DOCKER = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
const layer = (
  archive: readonly TarEntry[] | Buffer,
  pack: Layer['pack'] = (bytes) => gzipSync(bytes, { level: 1 }),
  mediaType = `${OCI}+gzip`,
): Layer => ({ archive: Buffer.isBuffer(archive) ? archive : tar(archive), pack, mediaType });

const hello: TarEntry = { name: 'hello', data: 'hello' };
const HELLO = 'hello file 0644 0:0 "hello"';
const dir = (name: string, more: Partial<TarEntry> = {}): TarEntry => ({ name, type: 'directory', ...more });
const link = (name: string, to: string): TarEntry => ({ name, type: 'hard link', link: to });
const symlink = (name: string, to: string): TarEntry => ({ name, type: 'symlink', link: to });
const one = (tag: string, entries: readonly TarEntry[], tree: readonly string[]): Foreign => ({
  tag,
  layers: [layer(entries)],
  tree,
});
const several = (tag: string, layers: readonly (readonly TarEntry[])[], tree: readonly string[]): Foreign => ({
  tag,
  layers: layers.map((entries) => layer(entries)),
  tree,
});

const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}`;
const nul = (text: string): string => `${text}\0`;

/** What the layers of others look like. */
export const foreign = (): readonly Foreign[] => [
  // How they are packed, whatever is said of it.
  { tag: 'zstd', layers: [layer([hello], zstdCompressSync, `${OCI}+zstd`)], tree: [HELLO] },
  { tag: 'plain', layers: [layer([hello], (bytes) => bytes, OCI)], tree: [HELLO] },
  { tag: 'bzip2', layers: [layer([hello], bzip2, OCI)], tree: [HELLO] },
  { tag: 'xz', layers: [layer([hello], xz, OCI)], tree: [HELLO] },
  { tag: 'zstd-said-to-be-gzip', layers: [layer([hello], zstdCompressSync)], tree: [HELLO] },
  { tag: 'gzip-said-to-be-plain', layers: [layer([hello], gzipSync, OCI)], tree: [HELLO] },
  { tag: 'dockers-media-type', layers: [layer([hello], gzipSync, DOCKER)], tree: [HELLO] },
  {
    tag: 'gzip-in-members',
    layers: [
      layer([hello], (bytes) => Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))])),
    ],
    tree: [HELLO],
  },
  {
    tag: 'zstd-in-frames',
    layers: [
      layer(
        [hello],
        (bytes) =>
          Buffer.concat([
            zstdCompressSync(bytes.subarray(0, 700)),
            Buffer.from('502a4d1804000000deadbeef', 'hex'), // a frame to be passed over, as zstd:chunked has
            zstdCompressSync(bytes.subarray(700)),
          ]),
        `${OCI}+zstd`,
      ),
    ],
    tree: [HELLO],
  },
  {
    tag: 'foreign-by-kind',
    layers: [layer([hello], gzipSync, `${OCI.replace('v1', 'nondistributable.v1')}+gzip`)],
    tree: [HELLO],
  },

  // Headers.
  { tag: 'no-end', layers: [layer(tar([hello]).subarray(0, 1024))], tree: [HELLO] },
  { tag: 'no-end-nor-fill', layers: [layer(tar([hello]).subarray(0, 517))], tree: [HELLO] },
  { tag: 'one-block-of-zeros', layers: [layer(tar([hello]).subarray(0, 1536))], tree: [HELLO] },
  {
    tag: 'more-behind-the-end',
    layers: [layer(Buffer.concat([tar([hello]), Buffer.alloc(20_000, 'x')]))],
    tree: [HELLO],
  },
  { tag: 'empty-layers', layers: [layer([]), layer(Buffer.alloc(0)), layer([hello]), layer([])], tree: [HELLO] },
  one(
    'global-header',
    [{ name: 'pax_global_header', flag: 'g', data: '52 comment=0123456789012345678901234567890123456789\n' }, hello],
    [HELLO],
  ),
  one(
    'global-header-that-would-change-all',
    [{ name: 'g', flag: 'g', data: '12 path=xyz\n11 uid=1000\n' }, hello],
    [HELLO],
  ),
  one('volume-label', [{ name: 'LABEL', flag: 'V' }, hello], [HELLO]),
  one(
    'pax',
    [
      {
        name: 'short',
        data: 'x',
        pax: { path: 'wide/näme', mtime: '1234567890.123456789', uid: '3000000', gid: '4294967294' },
      },
      symlink('l', 'x'),
      { ...symlink('l2', 'x'), pax: { linkpath: 'to/'.repeat(60) } },
      { name: 'kept', data: 'x', pax: { path: '', uid: '' } },
    ],
    [
      'kept file 0644 0:0 "x"',
      'l symlink - 0:0 -> x',
      `l2 symlink - 0:0 -> ${'to/'.repeat(60)}`,
      'wide directory 0755 0:0 @1234567890.123456789',
      'wide/n\\xc3\\xa4me file 0644 3000000:4294967294 "x" @1234567890.123456789',
    ],
  ),
  one(
    'gnu-long-names',
    [
      { name: '././@LongLink', flag: 'L', data: nul(long) },
      { name: long.slice(0, 100), data: 'x' },
      { name: '././@LongLink', flag: 'K', data: nul(long) },
      symlink('link', long.slice(0, 100)),
    ],
    [
      `${'d'.repeat(90)} directory 0755 0:0`,
      `${'d'.repeat(90)}/${'e'.repeat(90)} directory 0755 0:0`,
      `${long} file 0644 0:0 "x"`,
      `link symlink - 0:0 -> ${long}`,
    ],
  ),
  one(
    'numbers',
    [
      { name: 'base-256', data: 'x', uid: 2 ** 21, gid: 2 ** 31 },
      { name: 'owner-of-all-ones', data: 'x', uid: 2 ** 32 - 1, gid: 2 ** 32 - 1 },
      { name: 'before-1970', data: 'x', mtime: -1 },
      { name: 'before-1970-pax', data: 'x', pax: { mtime: '-1.5' } },
      { name: 'fraction', data: 'x', pax: { mtime: '7.25' } },
      { name: 'later-than-2106', data: 'x', mtime: 2 ** 33 },
      { name: 'later-than-all', data: 'x', mtime: 2 ** 40 },
    ],
    [
      'base-256 file 0644 2097152:2147483648 "x"',
      'before-1970 file 0644 0:0 "x" @0',
      'before-1970-pax file 0644 0:0 "x" @0',
      'fraction file 0644 0:0 "x" @7.25',
      'later-than-2106 file 0644 0:0 "x" @8589934592',
      'later-than-all file 0644 0:0 "x" @0',
      'owner-of-all-ones file 0644 0:0 "x"',
    ],
  ),
  one(
    'names',
    [
      { name: './dot', data: 'x' },
      { name: '/slash', data: 'x' },
      { name: '../../up', data: 'x' },
      { name: 'a/./b/../c', data: 'x' },
      { name: 'old-directory/', data: '' },
      { name: '', nameBytes: Buffer.from([0x66, 0xff, 0x0a, 0x20]), data: 'x' },
      dir('.'),
    ],
    [
      '. directory 0755 0:0',
      'a directory 0755 0:0',
      'a/c file 0644 0:0 "x"',
      'dot file 0644 0:0 "x"',
      'f\\xff\\n\\x20 file 0644 0:0 "x"',
      'old-directory directory 0644 0:0',
      'slash file 0644 0:0 "x"',
      'up file 0644 0:0 "x"',
    ],
  ),

  // Kinds of files.
  one(
    'kinds',
    [
      dir('sticky', { mode: 0o1777, uid: 5, gid: 6 }),
      { name: 'su', data: '#!', mode: 0o6755, uid: 7, gid: 8 },
      { name: 'pipe', type: 'fifo', mode: 0o600 },
      { name: 'null', type: 'character device', device: [1, 3], mode: 0o666 },
      { name: 'disk', type: 'block device', device: [259, 1_000_000], mode: 0o660 },
      { name: 'contiguous', flag: '7', data: 'x' },
      symlink('out', '../../../etc/passwd'),
      symlink('absolute', '/etc/passwd'),
      link('again', 'su'),
      link('symlink-again', 'out'),
    ],
    [
      'absolute symlink - 0:0 -> /etc/passwd',
      'again file 6755 7:8 "#!"',
      'contiguous file 0644 0:0 "x"',
      'disk block 0660 0:0 259:1000000',
      'null character 0666 0:0 1:3',
      'out symlink - 0:0 -> ../../../etc/passwd',
      'pipe fifo 0600 0:0',
      'sticky directory 1777 5:6',
      'su file 6755 7:8 "#!" =again',
      'symlink-again symlink - 0:0 -> ../../../etc/passwd =out',
    ],
  ),
  one(
    'attributes',
    [
      {
        name: 'capable',
        data: 'c',
        uid: 1,
        mode: 0o755,
        xattrs: { 'security.capability': Buffer.from('0100000200040000000000000000000000000000', 'hex') },
      },
      {
        name: 'noted',
        data: 'n',
        xattrs: { 'user.a': 'A', 'user.b=c%3Dd': 'B', 'trusted.t': Buffer.from([0, 255, 10]) },
      },
      dir('d', { xattrs: { 'user.d': 'D' } }),
      { ...symlink('s', 'x'), xattrs: { 'user.s': 'S', 'trusted.s': 'T' } },
      { name: 'f', type: 'fifo', xattrs: { 'user.f': 'F' } },
      { name: 'empty', data: '', xattrs: { 'user.e': '' } },
      // As macOS' tar writes it, which Linux keeps no attributes for.
      { name: 'apple', data: 'a', xattrs: { 'com.apple.provenance': Buffer.from([1, 2, 0]), 'user.k': 'K' } },
    ],
    [
      'apple file 0644 0:0 "a" user.k=4b',
      'capable file 0755 1:0 "c" security.capability=0100000200040000000000000000000000000000',
      'd directory 0755 0:0 user.d=44',
      'empty file 0644 0:0 ""',
      'f fifo 0644 0:0',
      'noted file 0644 0:0 "n" trusted.t=00ff0a user.a=41 user.b=63253344643d42',
      's symlink - 0:0 -> x trusted.s=54',
    ],
  ),

  // One layer over another.
  several('file-over-directory', [[dir('d'), { name: 'd/x' }], [{ name: 'd', data: 'f' }]], ['d file 0644 0:0 "f"']),
  several(
    'directory-over-file',
    [[{ name: 'd', data: 'f' }], [dir('d', { mode: 0o700 }), { name: 'd/x', data: 'x' }]],
    ['d directory 0700 0:0', 'd/x file 0644 0:0 "x"'],
  ),
  several(
    'directory-over-directory',
    [
      [dir('d', { mode: 0o700, uid: 5 }), { name: 'd/a', data: 'a' }],
      [dir('d', { mode: 0o711, uid: 6, mtime: 7 })],
      [{ name: 'd/b', data: 'b' }],
    ],
    ['d directory 0711 6:0 @7', 'd/a file 0644 0:0 "a"', 'd/b file 0644 0:0 "b"'],
  ),
  several(
    'below-a-file-of-a-lower-layer',
    [[dir('opt'), { name: 'opt/app', data: 'f' }], [{ name: 'opt/app/bin/run', data: 'r' }]],
    [
      'opt directory 0755 0:0',
      'opt/app directory 0755 0:0',
      'opt/app/bin directory 0755 0:0',
      'opt/app/bin/run file 0644 0:0 "r"',
    ],
  ),
  several(
    'below-a-symlink-of-a-lower-layer',
    [
      [dir('usr'), dir('usr/lib'), { name: 'usr/lib/a', data: 'a' }, symlink('lib', 'usr/lib')],
      [{ name: 'lib/b', data: 'b' }],
    ],
    [
      'lib directory 0755 0:0',
      'lib/b file 0644 0:0 "b"',
      'usr directory 0755 0:0',
      'usr/lib directory 0755 0:0',
      'usr/lib/a file 0644 0:0 "a"',
    ],
  ),
  one(
    'below-a-symlink-of-the-same-layer',
    [
      dir('usr'),
      dir('usr/lib'),
      symlink('lib', '/usr/lib'),
      { name: 'lib/b', data: 'b' },
      symlink('up', '../../..'),
      { name: 'up/c', data: 'c' },
      symlink('new', 'to/be'),
      { name: 'new/d', data: 'd' },
    ],
    [
      'c file 0644 0:0 "c"',
      'lib symlink - 0:0 -> /usr/lib',
      'new symlink - 0:0 -> to/be',
      'to directory 0755 0:0',
      'to/be directory 0755 0:0',
      'to/be/d file 0644 0:0 "d"',
      'up symlink - 0:0 -> ../../..',
      'usr directory 0755 0:0',
      'usr/lib directory 0755 0:0',
      'usr/lib/b file 0644 0:0 "b"',
    ],
  ),
  one(
    'the-same-name-again',
    [
      { name: 'x', data: '1' },
      dir('x', { mode: 0o700 }),
      { name: 'x/y', data: '2' },
      { name: 'x/y', data: '3' },
      dir('x'),
    ],
    ['x directory 0755 0:0', 'x/y file 0644 0:0 "3"'],
  ),
  several(
    'whiteouts',
    [
      [{ name: 'a' }, dir('d'), { name: 'd/b' }, { name: 'd/c', data: 'c' }, dir('e'), { name: 'e/f' }],
      [{ name: '.wh.a' }, { name: 'd/.wh.b' }, { name: '.wh.e' }, { name: '.wh.nothing' }],
    ],
    ['d directory 0755 0:0', 'd/c file 0644 0:0 "c"'],
  ),
  several(
    'whiteout-and-the-same-name-in-one-layer',
    [
      [dir('d'), { name: 'd/old' }, { name: 'f', data: '1' }],
      [dir('d'), { name: 'd/new', data: 'n' }, { name: '.wh.d' }, { name: '.wh.f' }, { name: 'f', data: '2' }],
    ],
    ['d directory 0755 0:0', 'd/new file 0644 0:0 "n"', 'f file 0644 0:0 "2"'],
  ),
  several(
    'opaque',
    [
      [dir('d', { mode: 0o700 }), { name: 'd/old' }, dir('d/sub'), { name: 'd/sub/x' }],
      [{ name: 'd/new', data: 'n' }, { name: 'd/.wh..wh..opq' }, { name: 'd/sub/y', data: 'y' }],
    ],
    ['d directory 0700 0:0', 'd/new file 0644 0:0 "n"', 'd/sub directory 0755 0:0', 'd/sub/y file 0644 0:0 "y"'],
  ),
  several(
    'opaque-root',
    [
      [hello, dir('d')],
      [{ name: '.wh..wh..opq' }, { name: 'new', data: 'n' }],
    ],
    ['new file 0644 0:0 "n"'],
  ),
  several(
    'as-overlayfs-keeps-it',
    [
      [{ name: 'a' }, { name: 'b', data: 'b' }, dir('d', { mode: 0o700 }), { name: 'd/old' }],
      [
        { name: 'a', type: 'character device', device: [0, 0] },
        { name: 'nothing', type: 'character device', device: [0, 0] },
        dir('d', { xattrs: { 'trusted.overlay.opaque': 'y', 'trusted.overlay.origin': 'o', 'trusted.kept': 'k' } }),
        { name: 'd/new', data: 'n', xattrs: { 'trusted.overlay.metacopy': '' } },
      ],
    ],
    ['b file 0644 0:0 "b"', 'd directory 0755 0:0 trusted.kept=6b', 'd/new file 0644 0:0 "n"'],
  ),
  several(
    'exported-from-a-container',
    [
      [
        hello,
        { name: '.dockerenv' },
        dir('run', { mode: 0o755 }),
        { name: 'run/.containerenv', data: 'engine="podman"' },
      ],
      [dir('etc'), { name: 'etc/.dockerenv', data: 'elsewhere' }],
    ],
    [
      'etc directory 0755 0:0',
      'etc/.dockerenv file 0644 0:0 "elsewhere"',
      'hello file 0644 0:0 "hello"',
      'run directory 0755 0:0',
    ],
  ),
  several(
    'aufs',
    [
      [
        { name: '.wh..wh.aufs' },
        dir('.wh..wh.orph'),
        dir('.wh..wh.plnk'),
        { name: '.wh..wh.plnk/42.7', data: 'linked' },
        link('one', '.wh..wh.plnk/42.7'),
        dir('d'),
        link('d/two', '/.wh..wh.plnk/42.7'),
      ],
    ],
    ['d directory 0755 0:0', 'd/two file 0644 0:0 "linked"', 'one file 0644 0:0 "linked" =d/two'],
  ),
  several(
    'hard-links',
    [
      [
        { name: 'a', data: 'a' },
        link('b', 'a'),
        link('c', './a'),
        { name: 'x', data: '1' },
        link('y', 'x'),
        { name: 'x', data: '2' },
      ],
      [{ name: '.wh.a' }, link('z', '/y')],
    ],
    [
      'b file 0644 0:0 "a"',
      'c file 0644 0:0 "a" =b',
      'x file 0644 0:0 "2"',
      'y file 0644 0:0 "1"',
      'z file 0644 0:0 "1" =y',
    ],
  ),
  several(
    'hard-link-in-a-directory-that-goes',
    [[dir('d'), { name: 'd/a', data: 'a' }, link('b', 'd/a')], [{ name: '.wh.d' }]],
    ['b file 0644 0:0 "a"'],
  ),
];

/** Adds them to a layout. */
export const makeForeign = (blobs: Blobs, { layers }: Foreign) =>
  blobs.image(layers.map(({ archive, pack, mediaType }) => blobs.packedLayer(archive, pack(archive), mediaType)));
