import type { Files } from '../ports/host.ts';

/** @see containers-registries.conf(5), containers-registries.conf.d(5) */
const CONFIGURATIONS = ['/etc/containers', '/usr/share/containers'];
/** @see containers-certs.d(5) */
const CERTIFICATES = ['/etc/containers/certs.d', '/etc/docker/certs.d'];
const MAX_BYTES = 1 << 20;

/** Mirrors, other locations, blocked registries, the lists of before version 2, and other places for credentials. */
const RULE = /^\s*(?:\[\[?\s*"?regist|credential-helpers)/m;

/**
 * Whether the host says how its registries, or one of them, are to be asked: then skopeo asks, which knows all that may be
 * said. It is read each time: an operator who blocks a registry must be obeyed at once.
 */
export async function hasRulesFor(files: Files, host: string): Promise<boolean> {
  for (const directory of CERTIFICATES) if ((await files.stat(`${directory}/${host}`)) !== undefined) return true;
  for (const directory of CONFIGURATIONS) {
    const more = await files.list(`${directory}/registries.conf.d`);
    const names = ['registries.conf', ...more.map((name) => `registries.conf.d/${name}`)];
    for (const name of names) {
      const data = await files.read(`${directory}/${name}`, { maxBytes: MAX_BYTES });
      if (data && RULE.test(Buffer.from(data).toString('utf8'))) return true;
    }
  }
  return false;
}
