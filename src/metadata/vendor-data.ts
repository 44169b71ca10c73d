import { createHash } from 'node:crypto';
import { fileSystemDevice } from '../domain/guest-words.ts';
import type { VolumeSpec } from '../domain/spec.ts';

/** RFC 2045, 6.8: at most 76 characters a line. */
const LINE = 76;

/**
 * The user's vendor-data with ours, which mounts the volumes. Neither is taken
 * apart: cloud-init reads both from one MIME message, so that what we do not
 * know of the user's reaches it unchanged.
 *
 * @param user - absent, or empty: none
 * @returns empty where there is nothing to say
 * @see https://cloudinit.readthedocs.io/en/22.4.2/topics/format.html
 */
export function vendorData(user: Uint8Array | undefined, volumes: readonly VolumeSpec[]): Uint8Array {
  const ours = cloudConfig(volumes);
  if (user === undefined || user.byteLength === 0) return Buffer.from(ours);
  if (ours === '') return user;
  // Ours last: it says how it is merged with what came before.
  return multipart([partOf(user), part('text/cloud-config', Buffer.from(ours))]);
}

function cloudConfig(volumes: readonly VolumeSpec[]): string {
  const mounts = volumes
    .map((volume, index) => ({ volume, device: `/dev/${fileSystemDevice(volume, index)}` }))
    .filter(({ volume }) => !volume.isRoot && volume.mountPoint !== '')
    // Its parents are the beginning of a path, so they come before it.
    .sort((a, b) => (a.volume.mountPoint < b.volume.mountPoint ? -1 : 1))
    .map(({ volume: { mountPoint, isReadOnly }, device }) =>
      // Where the options are left out, cloud-init takes those that its system needs.
      isReadOnly ? [device, mountPoint, 'auto', 'ro,nofail', '0', '0'] : [device, mountPoint],
    );
  if (mounts.length === 0) return '';
  return `#cloud-config
# Other mounts are kept: cloud-init would else take one list or the other.
merge_how:
  - name: list
    settings: [append]
  - name: dict
    settings: [no_replace, recurse_list]
mounts:
${mounts.map((mount) => `  - ${JSON.stringify(mount)}`).join('\n')}
`;
}

function partOf(user: Uint8Array): Buffer {
  // cloud-init looks so far for it, to know a MIME message; one in another is as good as its parts.
  const head = Buffer.from(user.subarray(0, 4096)).toString('latin1');
  if (/mime-version:/i.test(head)) return Buffer.from(user);
  const isCompressed = user[0] === 0x1f && user[1] === 0x8b;
  // Of plain text it looks at the first line to know what it is, as it would without us.
  return part(isCompressed ? 'application/gzip' : 'text/plain', user);
}

function part(type: string, body: Uint8Array): Buffer {
  const encoded = Buffer.from(body)
    .toString('base64')
    .replaceAll(new RegExp(`.{${LINE}}`, 'g'), '$&\n');
  return Buffer.from(`Content-Type: ${type}\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n${encoded}\n`);
}

function multipart(parts: readonly Buffer[]): Buffer {
  // Of what it separates, so that it occurs nowhere in it and is the same each time.
  const hash = createHash('sha256');
  for (const one of parts) hash.update(one);
  const boundary = `flintlock-${hash.digest('hex').slice(0, 32)}`;
  return Buffer.concat([
    Buffer.from(`Content-Type: multipart/mixed; boundary="${boundary}"\nMIME-Version: 1.0\n\n`),
    ...parts.flatMap((one) => [Buffer.from(`--${boundary}\n`), one, Buffer.from('\n')]),
    Buffer.from(`--${boundary}--\n`),
  ]);
}
