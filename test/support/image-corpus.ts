import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { HOST_ARCHITECTURE } from './oci-layout.ts';
import { fileHeader, type TarEntry, tar } from './tar.ts';

/** What must become of an image: refused for good with words like these, or unpacked with nothing outside its tree. */
export type Verdict = RegExp | 'contained';

export interface Hostile {
  readonly tag: string;
  readonly verdict: Verdict;
  make(blobs: Blobs): Descriptor;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [more: string]: unknown;
}

const OCI = 'application/vnd.oci.image';
const LAYER = `${OCI}.layer.v1.tar+gzip`;
const CONFIG = `${OCI}.config.v1+json`;
const MANIFEST = `${OCI}.manifest.v1+json`;
const INDEX = `${OCI}.index.v1+json`;
const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Makes the parts of images; they are written when all are made. */
export class Blobs {
  readonly all = new Map<string, Uint8Array>();

  add(mediaType: string, data: Uint8Array | string | object): Descriptor {
    const text = typeof data === 'string' ? data : JSON.stringify(data);
    const bytes = data instanceof Uint8Array ? data : Buffer.from(text);
    const digest = sha256(bytes);
    this.all.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  layer(entries: readonly TarEntry[]): { readonly blob: Descriptor; readonly diffId: string } {
    const unpacked = tar(entries);
    return { blob: this.add(LAYER, gzipSync(unpacked, { level: 1 })), diffId: sha256(unpacked) };
  }

  packedLayer(unpacked: Buffer, packed: Buffer, mediaType: string) {
    return { blob: this.add(mediaType, packed), diffId: sha256(unpacked) };
  }

  /** @param change - what is wrong with it: replaces parts of the manifest */
  image(
    layers: readonly { readonly blob: Descriptor; readonly diffId: string }[],
    change: Readonly<Record<string, unknown>> = {},
    configChange: Readonly<Record<string, unknown>> = {},
  ): Descriptor {
    const diffIds = layers.map(({ diffId }) => diffId);
    const config = {
      architecture: HOST_ARCHITECTURE,
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: [],
      ...configChange,
    };
    return this.add(MANIFEST, {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: this.add(CONFIG, config),
      layers: layers.map(({ blob }) => blob),
      ...change,
    });
  }

  index(manifests: readonly unknown[]): Descriptor {
    return this.add(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests });
  }
}

const hello: TarEntry = { name: 'hello', data: 'hello\n' };
const here = { platform: { os: 'linux', architecture: HOST_ARCHITECTURE } };
const of =
  (...layers: readonly (readonly TarEntry[])[]) =>
  (blobs: Blobs): Descriptor =>
    blobs.image(layers.map((layer) => blobs.layer(layer)));
/** A layer as it is, with the digest of what it unpacks to left a lie. */
const packed =
  (bytes: Uint8Array, mediaType = LAYER) =>
  (blobs: Blobs): Descriptor =>
    blobs.image([{ blob: blobs.add(mediaType, bytes), diffId: sha256(bytes) }]);
/** The one layer's descriptor with something in it that is not so. */
const claiming =
  (change: Readonly<Record<string, unknown>>) =>
  (blobs: Blobs): Descriptor => {
    const { blob, diffId } = blobs.layer([hello]);
    return blobs.image([{ blob: { ...blob, ...change }, diffId }]);
  };
const withManifest =
  (change: Readonly<Record<string, unknown>>) =>
  (blobs: Blobs): Descriptor =>
    blobs.image([blobs.layer([hello])], change);
const nowhere = sha256(Buffer.from('nowhere'));
const deep = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;

/**
 * @param bait - a URL that must never be fetched
 */
export const corpus = (bait: string): readonly Hostile[] => [
  // What the layers hold.
  { tag: 'opaque-root', verdict: 'contained', make: of([hello], [{ name: '.wh..wh..opq' }, { name: 'new' }]) },
  {
    tag: 'opaque-parent',
    verdict: 'contained',
    make: of([hello], [{ name: '../.wh..wh..opq' }, { name: '../../../.wh..wh..opq' }]),
  },
  {
    tag: 'opaque-through-symlink',
    verdict: 'contained',
    make: of([{ name: 'd', type: 'symlink', link: '/' }], [{ name: 'd/.wh..wh..opq' }]),
  },
  { tag: 'whiteout-of-dots', verdict: /./, make: of([hello], [{ name: 'd/.wh..' }, { name: 'd/.wh...' }]) },
  {
    tag: 'whiteout-with-dots',
    verdict: 'contained',
    make: of([hello], [{ name: '../../../.wh.victim' }, { name: 'd/../../../../.wh.victim' }]),
  },
  {
    tag: 'hard-link-through-symlink',
    verdict: /./,
    make: of([
      { name: 'd', type: 'symlink', link: '../../../..' },
      { name: 'stolen', type: 'hard link', link: 'd/victim' },
    ]),
  },
  {
    tag: 'hard-link-absolute',
    verdict: /./,
    make: of([{ name: 'stolen', type: 'hard link', link: '/etc/passwd-of-nobody' }]),
  },
  { tag: 'hard-link-to-itself', verdict: /./, make: of([{ name: 'me', type: 'hard link', link: 'me' }]) },
  {
    tag: 'symlink-loop',
    verdict: /./,
    make: of([
      { name: 'a', type: 'symlink', link: 'b' },
      { name: 'b', type: 'symlink', link: 'a' },
      { name: 'a/file', data: 'x' },
    ]),
  },
  {
    tag: 'directory-becomes-symlink',
    verdict: 'contained',
    make: of(
      [{ name: 'etc', type: 'directory' }, { name: 'etc/x' }],
      [{ name: 'etc', type: 'symlink', link: '../../..' }],
      [{ name: 'etc/escaped', data: 'x' }],
    ),
  },
  {
    tag: 'every-kind-of-file',
    verdict: 'contained',
    make: of([
      { name: 'memory', type: 'character device', device: [1, 1], mode: 0o666 },
      { name: 'pipe', type: 'fifo' },
      { name: 'su', data: '#!', mode: 0o6755 },
      { name: 'capable', data: 'x', xattrs: { 'user.x': 'y' } },
      { name: 'world', type: 'directory', mode: 0o1777 },
    ]),
  },
  { tag: 'name-of-300-bytes', verdict: /./, make: of([{ name: 'short', pax: { path: 'n'.repeat(300) } }]) },
  { tag: 'path-of-8000-bytes', verdict: /./, make: of([{ name: 'short', pax: { path: 'dir/'.repeat(2_000) } }]) },
  {
    tag: 'name-that-is-no-text',
    verdict: 'contained',
    make: of([{ name: '', nameBytes: Buffer.from([0x66, 0xff, 0xfe, 0x0a, 0x1b, 0x5b]) }]),
  },
  { tag: 'pax-path-escapes', verdict: 'contained', make: of([{ name: 'x', pax: { path: '../../../escaped' } }]) },
  { tag: 'pax-size-lies', verdict: /./, make: of([{ name: 'x', data: 'abc', pax: { size: String(2 ** 60) } }]) },
  {
    tag: 'pax-sparse-huge',
    verdict: /./,
    make: of([
      {
        name: 'x',
        data: '1\n0\n1\n',
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'huge',
          'GNU.sparse.realsize': String(2 ** 62),
        },
      },
    ]),
  },
  { tag: 'a-file-of-10-TiB', verdict: /./, make: packed(gzipSync(fileHeader('huge', 10 * 2 ** 40))) },
  {
    tag: 'capabilities-that-are-none',
    verdict: /an attribute that Linux refuses/,
    make: of([{ name: 'x', data: 'x', xattrs: { 'security.capability': Buffer.from('00') } }]),
  },
  { tag: 'no-tar', verdict: /./, make: packed(gzipSync(randomBytes(20_000))) },
  { tag: 'no-gzip', verdict: /./, make: packed(randomBytes(20_000)) },
  { tag: 'half-a-gzip', verdict: /./, make: packed(gzipSync(randomBytes(20_000)).subarray(0, 9_000)) },
  { tag: 'gzip-in-gzip', verdict: /./, make: packed(gzipSync(gzipSync(tar([hello])))) },
  { tag: 'no-bytes', verdict: 'contained', make: packed(new Uint8Array()) },
  { tag: 'zstd-that-is-gzip', verdict: /./, make: packed(gzipSync(tar([hello])), `${OCI}.layer.v1.tar+zstd`) },
  { tag: 'layer-of-another-kind', verdict: /./, make: packed(gzipSync(tar([hello])), 'application/x-executable') },
  {
    tag: 'a-thousand-layers',
    verdict: /it has 1000 layers, and 256 are the most/,
    make: of(...Array.from({ length: 1_000 }, (_, i) => [{ name: `f${i % 100}`, data: String(i) }])),
  },

  // What the manifests say of them.
  { tag: 'layer-missing', verdict: /./, make: claiming({ digest: nowhere }) },
  { tag: 'layer-smaller-than-said', verdict: /./, make: claiming({ size: 1 << 20 }) },
  { tag: 'layer-larger-than-said', verdict: /./, make: claiming({ size: 5 }) },
  { tag: 'layer-of-negative-size', verdict: /a size that is none/, make: claiming({ size: -1 }) },
  { tag: 'layer-of-2-to-the-63', verdict: /./, make: claiming({ size: 2 ** 63 }) },
  { tag: 'layer-digest-of-another-kind', verdict: /sha256/, make: claiming({ digest: 'md5:00' }) },
  { tag: 'layer-digest-is-a-path', verdict: /sha256/, make: claiming({ digest: 'sha256:../../../../etc/shadow' }) },
  { tag: 'layer-elsewhere', verdict: /./, make: claiming({ digest: nowhere, urls: [bait] }) },
  {
    tag: 'layer-elsewhere-by-kind',
    verdict: /./,
    make: claiming({ digest: nowhere, urls: [bait], mediaType: `${OCI}.layer.nondistributable.v1.tar+gzip` }),
  },
  {
    tag: 'config-missing',
    verdict: /./,
    make: withManifest({ config: { mediaType: CONFIG, digest: nowhere, size: 2 } }),
  },
  { tag: 'no-config', verdict: /./, make: withManifest({ config: undefined }) },
  { tag: 'config-is-no-JSON', verdict: /./, make: (b) => b.image([b.layer([hello])], { config: b.add(CONFIG, 'no') }) },
  {
    tag: 'config-10000-deep',
    verdict: /./,
    make: (b) => b.image([b.layer([hello])], { config: b.add(CONFIG, deep(10_000)) }),
  },
  {
    tag: 'config-of-5-MiB',
    verdict: /./,
    make: (b) => b.image([b.layer([hello])], { config: b.add(CONFIG, `{"a":"${'x'.repeat(5 << 20)}"}`) }),
  },
  {
    tag: 'diff-ids-of-others',
    verdict: /./,
    make: (b) => b.image([b.layer([hello])], {}, { rootfs: { type: 'layers', diff_ids: [nowhere] } }),
  },
  {
    tag: 'more-layers-than-diff-ids',
    verdict: /./,
    make: (b) => b.image([b.layer([hello]), b.layer([hello])], {}, { rootfs: { type: 'layers', diff_ids: [] } }),
  },
  { tag: 'no-layers', verdict: /./, make: withManifest({ layers: 'none' }) },
  { tag: 'layers-that-are-none', verdict: /./, make: withManifest({ layers: [null, 5, []] }) },
  { tag: 'manifest-of-another-kind', verdict: /./, make: (b) => b.add(MANIFEST, { schemaVersion: 2, fsLayers: [] }) },
  {
    tag: 'manifest-of-version-1',
    verdict: /version 1/,
    make: (b) => b.add(MANIFEST, { schemaVersion: 1, fsLayers: [] }),
  },
  { tag: 'manifest-10000-deep', verdict: /./, make: (b) => b.add(MANIFEST, deep(10_000)) },
  { tag: 'manifest-is-no-JSON', verdict: /JSON/, make: (b) => b.add(MANIFEST, randomBytes(500)) },
  { tag: 'manifest-of-5-MiB', verdict: /4 MiB/, make: (b) => b.add(MANIFEST, `{"a":"${'x'.repeat(5 << 20)}"}`) },
  { tag: 'manifest-missing', verdict: /missing/, make: () => ({ mediaType: MANIFEST, digest: nowhere, size: 2 }) },
  {
    tag: 'manifest-not-as-its-digest-says',
    verdict: /not what its digest says/,
    make: (b) => {
      const good = b.image([b.layer([{ name: 'good' }])]);
      const other = b.image([b.layer([{ name: 'other' }])]);
      b.all.set(good.digest, b.all.get(other.digest) ?? new Uint8Array());
      return { ...good, size: other.size };
    },
  },

  // Images of images.
  ...[3, 9].map(
    (levels): Hostile => ({
      tag: `index-${levels}-deep`,
      verdict: levels === 3 ? 'contained' : /deep/,
      make: (b) => {
        let inner = b.image([b.layer([hello])]);
        for (let i = 0; i < levels; i++) inner = b.index([{ ...inner, ...here }]);
        return inner;
      },
    }),
  ),
  {
    tag: 'index-that-lists-itself',
    verdict: /./,
    make: (b) => {
      // By a digest that is not its own: one that is cannot be made.
      const digest = sha256(Buffer.from('ring'));
      const ring = { mediaType: INDEX, digest, size: 500, ...here };
      b.all.set(digest, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [ring] })));
      return ring;
    },
  },
  { tag: 'index-of-nothing', verdict: /./, make: (b) => b.index([]) },
  {
    tag: 'index-without-platforms',
    verdict: /./,
    make: (b) => b.index([{ mediaType: MANIFEST, digest: nowhere, size: 2 }]),
  },
  {
    tag: 'index-of-30000',
    verdict: /./,
    make: (b) =>
      b.index(
        Array.from({ length: 30_000 }, (_, i) => ({
          mediaType: MANIFEST,
          digest: sha256(Buffer.from(String(i))),
          size: 2,
          platform: { os: 'plan9', architecture: 'x' },
        })),
      ),
  },
];

/** Writes all of them into one directory of OCI layout. */
export async function writeCorpus(directory: string, images: readonly Pick<Hostile, 'tag' | 'make'>[]): Promise<void> {
  const blobs = new Blobs();
  const manifests = images.map(({ tag, make }) => ({
    ...make(blobs),
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }));
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
  for (const [digest, bytes] of blobs.all) await writeFile(join(directory, 'blobs', digest.replace(':', '/')), bytes);
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
}
