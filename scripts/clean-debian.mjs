/** A Debian made by debootstrap: for the tries on a clean machine. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Stop, step } from './steps.mjs';

/** The releases that are tried; docs/installing.md says when each was. */
export const SUITES = ['bookworm', 'trixie'];
export const MIRROR = 'http://deb.debian.org/debian';

/** What --suite and --distro-node mean, and the other arguments. @throws Stop for a suite that is not tried */
export function suiteOf(argv) {
  const rest = [];
  let suite;
  let distroNode = false;
  for (let i = 0; i < argv.length; i++) {
    const [, given] = /^--suite(?:=(.*))?$/.exec(argv[i]) ?? [];
    if (given !== undefined) suite = given;
    else if (argv[i] === '--suite') suite = argv[++i] ?? '';
    else if (argv[i] === '--distro-node') distroNode = true;
    else rest.push(argv[i]);
  }
  suite ??= ownSuite();
  if (!SUITES.includes(suite)) throw new Stop(`--suite takes ${SUITES.join(' or ')}, not "${suite}"`);
  return { suite, distroNode, rest };
}

/** This machine's. @see os-release(5) */
function ownSuite() {
  const file = ['/etc/os-release', '/usr/lib/os-release'].find((path) => existsSync(path));
  const codename = file && /^VERSION_CODENAME=["']?([^"'\n]*)/m.exec(readFileSync(file, 'utf8'))?.[1];
  return SUITES.includes(codename) ? codename : SUITES[0];
}

/** A minimal system with updates and security in its sources, and a way to names. */
export async function makeSystem(suite, system, include) {
  await step(`making a Debian ${suite} in ${system}`, [
    ...['debootstrap', '--variant=minbase', `--include=${include.join(',')}`, suite, system, MIRROR],
  ]);
  const sources = [
    `deb ${MIRROR} ${suite} main`,
    `deb ${MIRROR} ${suite}-updates main`,
    `deb http://deb.debian.org/debian-security ${suite}-security main`,
  ];
  writeFileSync(join(system, 'etc/apt/sources.list'), `${sources.join('\n')}\n`);
  cpSync('/etc/resolv.conf', join(system, 'etc/resolv.conf'), { dereference: true });
}

/** Either the distribution's own Node and npm, or this machine's. */
export async function giveNode(system, distroNode) {
  if (distroNode) {
    await inChroot(system, "updating its apt's lists", ['apt-get', 'update', '-q']);
    const install = ['apt-get', 'install', '-y', '-q', '--no-install-recommends', 'nodejs', 'npm'];
    await inChroot(system, 'installing its own nodejs and npm', install);
  } else copyNode(system);
  copyCertificates(system);
}

/** Runs a program in it, as root, with no more than what packages need to be installed. */
export async function inChroot(system, title, argv) {
  const env = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8'];
  await step(title, inside(system, [...env, ...argv]));
}

/** With the certificates that this machine's network needs, if it says so; not where ca-certificates would put them. */
function copyCertificates(system) {
  const { NODE_EXTRA_CA_CERTS: certificates } = process.env;
  if (certificates && existsSync(certificates)) cpSync(certificates, join(system, 'etc/node-certificates.pem'));
}

function copyNode(system) {
  cpSync(process.execPath, join(system, 'usr/bin', basename(process.execPath)));
  cpSync('/usr/lib/node_modules/npm', join(system, 'usr/lib/node_modules/npm'), { recursive: true });
  for (const name of ['npm', 'npx'])
    cpSync(join('/usr/bin', name), join(system, 'usr/bin', name), { verbatimSymlinks: true });
}

/**
 * The command that runs a program in it as on a machine of its own: its root
 * is the root of its mount namespace, not a chroot, which nsenter(1) would
 * leave. Every mount and every process of it end with the program.
 */
export function inside(system, argv) {
  mkdirSync(join(system, 'mnt'), { recursive: true });
  // The last line is not the last command: a shell that stays is what reaps the orphans of all others.
  const script = `
    set -e
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount --rbind /sys sys
    mount --rbind /dev dev
    mount -t tmpfs -o mode=1777 tmp tmp
    pivot_root . mnt
    cd /
    umount -l /mnt
    shift
    set +e
    "$@"
    exit $?`;
  return [
    ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'],
    ...['sh', '-c', script, 'sh', system, ...argv],
  ];
}

/** The environment in it: nothing of this machine's. */
export function environment(system, home) {
  const certificates = existsSync(join(system, 'etc/node-certificates.pem'))
    ? ['NODE_EXTRA_CA_CERTS=/etc/node-certificates.pem', 'npm_config_cafile=/etc/node-certificates.pem']
    : [];
  return [
    ...['env', '-i', `HOME=${home}`, 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ...['LANG=C.UTF-8', ...certificates],
  ];
}
