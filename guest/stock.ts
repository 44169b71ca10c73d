import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { longRun } from './long-run.ts';

/** What Debian calls its releases. */
export type Suite = 'bookworm' | 'trixie';

/**
 * Makes a Debian root as anybody's mmdebstrap makes it, with the distribution's own cloud-init and SSH server, and nothing of ours:
 * ifupdown with dhclient (bookworm) or dhcpcd (trixie) and no systemd-networkd. It needs root: elsewhere through sudo.
 *
 * @param tar - where it is written
 */
export async function writeStock(suite: Suite, tar: string, signal: AbortSignal): Promise<void> {
  const become = process.getuid?.() !== 0;
  const argv: [string, ...string[]] = [
    ...(become ? (['sudo', 'env'] as const) : (['env'] as const)),
    ...['LC_ALL=C', 'mmdebstrap', '--mode=root', '--variant=important', '--format=tar'],
    // A power cut would lose nothing but time.
    ...['--include=cloud-init,openssh-server', '--dpkgopt=force-unsafe-io', suite, tar],
  ];
  const onLine = (line: string): string | undefined => /^I: (.*?)(?:\.\.\.)?$/.exec(line)?.[1];
  await longRun(`making a stock root of ${suite}`, argv, { signal, onLine });
}

/** What an image that was built so has; two guests of it would be one machine. */
export const BUILT_MACHINE_ID = '0123456789abcdef0123456789abcdef';

/**
 * What `docker build` leaves of a system with systemd: the files that a container's runtime lays its own over are empty
 * or not there, and the machine-id is that of the build.
 *
 * @param directory - not there yet: a layer over a root
 */
export function writeBuiltOver(directory: string): void {
  mkdirSync(join(directory, 'etc'), { recursive: true });
  mkdirSync(join(directory, 'var/lib/dbus'), { recursive: true });
  const files = {
    '.dockerenv': '',
    'etc/resolv.conf': '',
    // Whiteouts: what lies below is not there.
    'etc/.wh.hosts': '',
    'etc/.wh.hostname': '',
    'etc/machine-id': `${BUILT_MACHINE_ID}\n`,
    'var/lib/dbus/machine-id': `${BUILT_MACHINE_ID}\n`,
  };
  for (const [path, content] of Object.entries(files)) writeFileSync(join(directory, path), content);
}
