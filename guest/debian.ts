import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { agentProgram } from './agent.ts';
import { longRun } from './long-run.ts';

/** The Debian that the image holds, whatever the one below is. */
const SUITE = 'bookworm';

const PACKAGES = [
  ...['systemd-sysv', 'systemd-resolved', 'udev', 'dbus', 'kmod', 'iproute2', 'cloud-init'],
  // wget, ping, vi and more, in one small program.
  'busybox',
];

/** Nobody reads them in a microVM; with them the image is a third larger. */
const LEFT_OUT = ['doc', 'man', 'info', 'locale'];

/** What works for machines that live for months. */
const DISABLED = [
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer', 'fstrim.timer'],
  ...['e2scrub_reap.service', 'systemd-pstore.service', 'getty@tty1.service', 'cloud-init-hotplugd.socket'],
];

/** Files that make the difference: see the comments in them. */
const TREE = join(import.meta.dirname, 'debian');

/**
 * Makes a Debian root with systemd and cloud-init, by mmdebstrap, which needs
 * root: elsewhere through sudo.
 *
 * @param tar - where it is written; owners are in it, so that no root is needed from there on
 * @param directory - not there yet: what lies over it, as a layer of its own
 */
export async function writeDebian(tar: string, directory: string, signal: AbortSignal): Promise<void> {
  const chroot = (...command: readonly string[]): string => `--customize-hook=chroot "$1" ${command.join(' ')}`;
  const become = process.getuid?.() !== 0;
  const argv: [string, ...string[]] = [
    ...(become ? (['sudo', 'env'] as const) : (['env'] as const)),
    ...['LC_ALL=C', 'mmdebstrap', '--mode=root', '--variant=minbase', '--format=tar'],
    `--include=${PACKAGES.join(',')}`,
    ...LEFT_OUT.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    '--dpkgopt=path-include=/usr/share/doc/*/copyright',
    chroot('systemctl', '--quiet', 'enable', 'systemd-networkd.service', 'systemd-resolved.service'),
    chroot('systemctl', '--quiet', 'disable', ...DISABLED),
    chroot('systemctl', '--quiet', 'set-default', 'multi-user.target'),
    ...[SUITE, tar],
  ];
  const onLine = (line: string): string | undefined => /^I: (.*?)(?:\.\.\.)?$/.exec(line)?.[1];
  await longRun('making a Debian root', argv, { signal, onLine });
  mkdirSync(directory, { recursive: true });
  cpSync(TREE, directory, { recursive: true });
  mkdirSync(join(directory, 'usr/sbin'), { recursive: true });
  cpSync(agentProgram(), join(directory, 'usr/sbin/flintlock-agent'));
  const wanted = join(directory, 'etc/systemd/system/multi-user.target.wants');
  mkdirSync(wanted, { recursive: true });
  symlinkSync('../flintlock-agent.service', join(wanted, 'flintlock-agent.service'));
  mkdirSync(join(directory, 'etc/systemd/network'), { recursive: true });
  // Interfaces keep the kernel's names until somebody gives them others.
  symlinkSync('/dev/null', join(directory, 'etc/systemd/network/99-default.link'));
}
