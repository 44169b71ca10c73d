import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Files } from '../ports/host.ts';
import type { Part } from '../unpack/job.ts';

/** The tag of the image that {@link writeTinyImage} makes. */
export const TINY_TAG = 'trial';
/** The one file in it, and what it holds. */
export const TINY_FILE = { path: 'etc/flintlock-trial', text: 'flintlock trial of an image\n' } as const;

/**
 * Makes an OCI layout with one image of one file.
 * @returns its layer
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export async function writeTinyImage(
  files: Files,
  directory: string,
): Promise<Omit<Extract<Part, { is: 'layer' }>, 'is'>> {
  const blobs = join(directory, 'blobs/sha256');
  await files.makeDirectory(blobs, 0o755);
  const add = async (type: string, bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await files.write(join(blobs, hex), bytes);
    return { mediaType: `application/vnd.oci.image.${type}`, digest: `sha256:${hex}`, size: bytes.length };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const archive = tar(TINY_FILE.path, Buffer.from(TINY_FILE.text));
  const layer = await add('layer.v1.tar+gzip', gzipSync(archive));
  const diffId = `sha256:${createHash('sha256').update(archive).digest('hex')}`;
  const rootfs = { type: 'layers', diff_ids: [diffId] };
  const config = await add('config.v1+json', json({ architecture: 'amd64', os: 'linux', rootfs }));
  const body = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers: [layer] };
  const manifest = await add('manifest.v1+json', json(body));
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': TINY_TAG } };
  await files.write(join(directory, 'index.json'), json({ schemaVersion: 2, manifests: [named] }));
  await files.write(join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  const { digest, size } = layer;
  return { blob: { path: join(directory, 'blobs', digest.replace(':', '/')), offset: 0, size, digest }, diffId };
}

/** An archive of one file of root's. @see pax(1), "ustar Interchange Format" */
function tar(path: string, bytes: Buffer): Buffer {
  const head = Buffer.alloc(512);
  const octal = (value: number, at: number, width: number): void =>
    void head.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
  head.write(path, 'latin1');
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(bytes.length, 124, 12);
  octal(0, 136, 12);
  head.write('        0', 148, 'latin1');
  head.write('ustar\x0000', 257, 'latin1');
  const sum = head.reduce((all, byte) => all + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
  return Buffer.concat([head, bytes, padding, Buffer.alloc(1024)]);
}
