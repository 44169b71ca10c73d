/** A Debian made by debootstrap, with this machine's Node: for the tries on a clean machine. */
import { cpSync, existsSync } from 'node:fs';
import { basename, join } from 'node:path';

export const SUITE = 'bookworm';
export const MIRROR = 'http://deb.debian.org/debian';

/** With the certificates that this machine's network needs, if it says so; not where ca-certificates would put them. */
export function copyNode(system) {
  cpSync(process.execPath, join(system, 'usr/bin', basename(process.execPath)));
  cpSync('/usr/lib/node_modules/npm', join(system, 'usr/lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx'])
    cpSync(join('/usr/bin', name), join(system, 'usr/bin', name), { verbatimSymlinks: true });
  const { NODE_EXTRA_CA_CERTS: certificates } = process.env;
  if (certificates && existsSync(certificates)) cpSync(certificates, join(system, 'etc/node-certificates.pem'));
  cpSync('/etc/resolv.conf', join(system, 'etc/resolv.conf'), { dereference: true });
}
