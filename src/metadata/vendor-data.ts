import { createHash } from 'node:crypto';
import { type GuestMount, guestMounts } from '../domain/guest-words.ts';
import type { GuestNic } from '../domain/network-config.ts';
import type { VolumeSpec } from '../domain/spec.ts';
import { vendorScript } from './vendor-script.ts';

/** RFC 2045, 6.8: at most 76 characters a line. */
const LINE = 76;

/**
 * The user's vendor-data with ours, which mounts the volumes, supplies what a
 * runtime would and tells what is in place. None is taken apart: cloud-init reads all from one MIME message, so
 * that what we do not know of the user's reaches it unchanged.
 *
 * @param user - absent, or empty: none
 * @see https://cloudinit.readthedocs.io/en/22.4.2/topics/format.html
 */
export function vendorData(
  user: Uint8Array | undefined,
  volumes: readonly VolumeSpec[],
  nics: readonly GuestNic[],
): Uint8Array {
  const mounts = guestMounts(volumes);
  return multipart([
    ...(user === undefined || user.byteLength === 0 ? [] : [partOf(user)]),
    // Behind the user's: it says how it is merged with what came before.
    ...(mounts.length === 0 ? [] : [part('text/cloud-config', Buffer.from(cloudConfig(mounts)))]),
    part('text/cloud-boothook', Buffer.from(vendorScript(nics, mounts)), 'flintlock-configured'),
  ]);
}

function cloudConfig(mounts: readonly GuestMount[]): string {
  const lines = mounts.map(({ path, device, isReadOnly }) =>
    // Where the options are left out, cloud-init takes those that its system needs.
    isReadOnly ? [`/dev/${device}`, path, 'auto', 'ro,nofail', '0', '0'] : [`/dev/${device}`, path],
  );
  return `#cloud-config
# Other mounts are kept: cloud-init would else take one list or the other.
merge_how:
  - name: list
    settings: [append]
  - name: dict
    settings: [no_replace, recurse_list]
mounts:
${lines.map((line) => `  - ${JSON.stringify(line)}`).join('\n')}
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

/** @param name - of the file that it is kept in */
function part(type: string, body: Uint8Array, name = ''): Buffer {
  const encoded = Buffer.from(body)
    .toString('base64')
    .replaceAll(new RegExp(`.{${LINE}}`, 'g'), '$&\n');
  const head = [
    ...[`Content-Type: ${type}`, 'MIME-Version: 1.0', 'Content-Transfer-Encoding: base64'],
    ...(name === '' ? [] : [`Content-Disposition: attachment; filename="${name}"`]),
  ];
  return Buffer.from(`${head.join('\n')}\n\n${encoded}\n`);
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
