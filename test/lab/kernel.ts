import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from '../../guest/cpio.ts';
import { unpack } from '../../guest/unpack.ts';

/** Loaded before there is a root; all others by modprobe, from the bound directory. */
const MODULES = [
  ...['virtio_pci', 'virtio_console', 'virtio_rng', '9p', '9pnet_virtio', 'overlay'],
  ...['kvm_amd', 'vhost_vsock', 'vhost_net', 'tun'],
];
const LARGEST_MODULE = 64 << 20;
const TOOL_MS = 300_000;

/**
 * Makes what a nested host boots of a kernel's package of Debian's: `vmlinuz`, its modules in `lib/modules`, and `initrd`, without
 * the job.
 *
 * @param made - a directory that is not there yet
 * @param scratch - one that is, for what is left behind
 * @throws Error where it is no such package
 */
export function writeKernel(deb: string, made: string, scratch: string): void {
  const unpacked = join(scratch, 'package');
  mkdirSync(unpacked);
  tool('dpkg-deb', '-x', deb, unpacked);
  const from = ['lib/modules', 'usr/lib/modules'].map((path) => join(unpacked, path)).find((path) => existsSync(path));
  const [release, ...others] = from === undefined ? [] : readdirSync(from);
  if (from === undefined || release === undefined || others.length > 0)
    throw new Error(`${deb} is no package of one kernel: it has no modules, or those of several`);
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
