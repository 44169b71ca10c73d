/**
 * Makes what a nested host is started with, below .cache/lab: Debian's kernel,
 * its modules, an initrd without the job, and images for a guest of its own:
 *
 *     node test/lab/prepare.ts DIRECTORY PACKAGES STAMP
 *
 * DIRECTORY is replaced whole or not at all; STAMP is written into it, as the
 * file `stamp`. PACKAGES is a directory for packages. Exit status 75 means that apt's
 * lists are missing or too old: after `apt-get update` it may work.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { fetchPackage } from '../../guest/apt.ts';
import { cpio } from '../../guest/cpio.ts';
import { unpack } from '../../guest/unpack.ts';
import { writeGuest } from './guest.ts';

/** Of sysexits.h: EX_TEMPFAIL. */
const STALE_LISTS = 75;
/** Loaded before there is a root; all others by modprobe, from the bound directory. */
const MODULES = [
  ...['virtio_pci', 'virtio_console', 'virtio_rng', '9p', '9pnet_virtio', 'overlay'],
  ...['kvm_amd', 'vhost_vsock', 'vhost_net', 'tun'],
];
const LARGEST_MODULE = 64 << 20;
const TOOL_MS = 300_000;

const [directory, packages, stamp] = process.argv.slice(2);
if (directory === undefined || packages === undefined || stamp === undefined) {
  console.error('usage: node test/lab/prepare.ts DIRECTORY PACKAGES STAMP');
  process.exit(2);
}
process.exitCode = await prepare(directory, packages, stamp);

async function prepare(to: string, cache: string, mark: string): Promise<number> {
  let fetched: { readonly file: string; readonly name: string };
  try {
    // The cloud flavour has no KVM.
    fetched = fetchPackage('linux-image-amd64', 'linux-image-', cache);
  } catch (cause) {
    console.error(`Cannot fetch the nested host's kernel: ${String(cause)}`);
    return STALE_LISTS;
  }
  console.log(`the nested host's kernel from ${basename(fetched.file)}`);
  mkdirSync(dirname(to), { recursive: true });
  const scratch = mkdtempSync(join(dirname(to), '.partial-'));
  try {
    const made = join(scratch, 'made');
    write(fetched.file, fetched.name.replace(/^linux-image-(?:unsigned-)?/, ''), made, scratch);
    await writeGuest(join(made, 'guest'), join(scratch, 'guest'));
    writeFileSync(join(made, 'stamp'), mark);
    if (existsSync(to)) renameSync(to, join(scratch, 'old'));
    renameSync(made, to);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function write(deb: string, release: string, made: string, scratch: string): void {
  const unpacked = join(scratch, 'package');
  mkdirSync(unpacked);
  tool('dpkg-deb', '-x', deb, unpacked);
  const from = ['lib/modules', 'usr/lib/modules'].map((path) => join(unpacked, path)).find((path) => existsSync(path));
  if (from === undefined) throw new Error(`No modules in ${deb}`);
  mkdirSync(join(made, 'lib'), { recursive: true });
  renameSync(from, join(made, 'lib/modules'));
  tool(sbin('depmod'), '-b', made, release);
  copyFileSync(join(unpacked, `boot/vmlinuz-${release}`), join(made, 'vmlinuz'));

  const tree = join(scratch, 'tree');
  mkdirSync(join(tree, 'bin'), { recursive: true });
  mkdirSync(join(tree, 'modules'));
  copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
  copyFileSync(join(import.meta.dirname, 'init.sh'), join(tree, 'init'));
  chmodSync(join(tree, 'init'), 0o755);
  const files = loadedFor(made, release);
  for (const file of files)
    writeFileSync(join(tree, 'modules', plainName(file)), unpack(readFileSync(file), LARGEST_MODULE));
  writeFileSync(join(tree, 'modules/order'), files.map((file) => `${plainName(file)}\n`).join(''));
  writeFileSync(join(made, 'initrd'), gzipSync(cpio(tree)));
}

/** The modules' files in the order in which they are loaded, each after what it needs; none for what is built in. */
function loadedFor(base: string, release: string): readonly string[] {
  const options = ['--config', '/dev/null', '--dirname', base, '--set-version', release, '--show-depends'];
  const lines = MODULES.flatMap((name) => tool(sbin('modprobe'), ...options, name).split('\n'));
  return [...new Set(lines.flatMap((line) => /^insmod (\S+)/.exec(line)?.[1] ?? []))];
}

function plainName(file: string): string {
  return basename(file).replace(/\.ko\..*$/, '.ko');
}

/** Debian has them where a user's PATH does not lead. */
function sbin(name: string): string {
  const file = ['/sbin', '/usr/sbin'].map((path) => join(path, name)).find((path) => existsSync(path));
  if (file === undefined) throw new Error(`There is no ${name}; install kmod`);
  return file;
}

function tool(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: TOOL_MS });
}
