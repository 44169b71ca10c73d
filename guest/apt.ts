import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Fetches what a metapackage depends on, in the newest version that apt knows.
 * It is signed and checked by apt, and not installed.
 *
 * @param metapackage - e.g. `linux-image-cloud-amd64`, which depends on the newest kernel's package
 * @param prefix - how the wanted package's name begins, e.g. `linux-image-`
 * @param cache - where packages are kept
 * @throws Error that asks for apt-get update where apt's lists do not help
 */
export function fetchPackage(metapackage: string, prefix: string, cache: string): { file: string; name: string } {
  const depends = execFileSync('apt-cache', ['depends', '--important', metapackage], { encoding: 'utf8' });
  const name = depends
    .split('\n')
    .map((line) => /Depends: (\S+)/.exec(line)?.[1])
    .find((depended) => depended?.startsWith(prefix));
  if (name === undefined) throw new Error(`Cannot find ${prefix}…: apt knows no ${metapackage}; run apt-get update`);
  mkdirSync(cache, { recursive: true });
  // Empty: of what lies in the working directory already, apt-get prints no URI.
  const partial = mkdtempSync(join(cache, '.partial-'));
  try {
    const uris = execFileSync('apt-get', ['download', '--print-uris', name], { cwd: partial, encoding: 'utf8' });
    const deb = /^'[^']+' (\S+) \d+/m.exec(uris)?.[1];
    if (deb === undefined) throw new Error(`Cannot find where ${name} is fetched from; run apt-get update`);
    const file = join(cache, deb);
    if (!existsSync(file)) {
      execFileSync('apt-get', ['download', '-q', name], { cwd: partial, stdio: ['ignore', 'ignore', 'pipe'] });
      renameSync(join(partial, deb), file);
    }
    return { file, name };
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
