import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../src/unpack/digest.ts';
import { type TarEntry, tar } from './tar.ts';

/** A layer that is gzip already, for what is too large to be held: the digest of what it unpacks to is a lie. */
export interface PackedLayer {
  readonly gzip: Uint8Array;
}

/** An image as a test wants it, also one that no tool would make. */
export interface TestImage {
  /** From the lowest to the highest. */
  readonly layers: readonly (readonly TarEntry[] | PackedLayer)[];
  readonly os?: string;
  readonly architecture?: string;
  /** What its configuration says of the program in it: `Entrypoint`, `Cmd`, `Env` and so on. */
  readonly config?: unknown;
  /** How all of it is named; otherwise by sha256. */
  readonly by?: 'sha512';
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export const HOST_ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;
const OCI = 'application/vnd.oci.image';
const INDEX = `${OCI}.index.v1+json`;

/**
 * Writes a directory of OCI layout. A tag with several images is an index of them.
 * @returns the digest that each tag leads to
 */
export async function writeLayout(
  directory: string,
  tags: Readonly<Record<string, TestImage | readonly TestImage[]>>,
): Promise<Readonly<Record<string, string>>> {
  const blob = async (mediaType: string, data: Uint8Array | object, by = 'sha256'): Promise<Descriptor> => {
    const bytes = data instanceof Uint8Array ? data : Buffer.from(JSON.stringify(data));
    const digest = digestOf(bytes, `${by}:`);
    await mkdir(join(directory, 'blobs', by), { recursive: true });
    await writeFile(join(directory, 'blobs', digest.replace(':', '/')), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const image = async ({
    layers,
    os = 'linux',
    architecture = HOST_ARCHITECTURE,
    config: said = {},
    by,
  }: TestImage) => {
    const packed = layers.map((layer) => {
      if ('gzip' in layer) return { gzip: layer.gzip, diffId: `sha256:${'0'.repeat(64)}` };
      const unpacked = tar(layer);
      const diffId = digestOf(unpacked, by && `${by}:`);
      return { gzip: gzipSync(unpacked, { level: 1 }), diffId };
    });
    const diffIds = packed.map(({ diffId }) => diffId);
    const config = { architecture, os, config: said, rootfs: { type: 'layers', diff_ids: diffIds }, history: [] };
    const manifest = {
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config: await blob(`${OCI}.config.v1+json`, config, by),
      layers: await Promise.all(packed.map(({ gzip }) => blob(`${OCI}.layer.v1.tar+gzip`, gzip, by))),
    };
    return { ...(await blob(`${OCI}.manifest.v1+json`, manifest, by)), platform: { os, architecture } };
  };
  const manifests: object[] = [];
  const digests: Record<string, string> = {};
  for (const [tag, wanted] of Object.entries(tags)) {
    const several = 'layers' in wanted ? undefined : await Promise.all(wanted.map(image));
    const made =
      'layers' in wanted
        ? await image(wanted)
        : await blob(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests: several });
    const { mediaType, digest, size } = made;
    manifests.push({ mediaType, digest, size, annotations: { 'org.opencontainers.image.ref.name': tag } });
    digests[tag] = digest;
  }
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  return digests;
}
