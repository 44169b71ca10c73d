import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fetchPackage } from './apt.ts';
import { type Module, writeInitrd } from './initrd.ts';
import { unpack } from './unpack.ts';
import { extractVmlinux } from './vmlinux.ts';

/**
 * What the initrd loads, in this order: each after what it needs. With them
 * the guest has disks, network, entropy, a balloon and the agent's port or vsock over virtio (MMIO and PCI), tells
 * the host of a panic and hears its power button. ext4 is built in.
 */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_mmio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'pvpanic',
  'pvpanic-mmio',
  'virtio_blk',
  'failover',
  'net_failover',
  'virtio_net',
  'virtio-rng',
  'virtio_console',
  'virtio_balloon',
  'vsock',
  'vmw_vsock_virtio_transport_common',
  'vmw_vsock_virtio_transport',
  'evdev',
  'button',
];

const LARGEST_MODULE = 64 << 20;

/** For a disk that is vfat or iso9660: the seed of cloud-init is one of them. */
const SEED_MODULES = ['fat', 'nls_cp437', 'nls_ascii', 'vfat', 'cdrom', 'isofs'];

/**
 * Fetches Debian's kernel for virtual machines.
 *
 * @param cache - where packages are kept
 * @returns the package's file and its kernel's release, e.g. `6.1.0-56-cloud-amd64`
 */
export function fetchKernel(cache: string): { file: string; release: string } {
  const { file, name } = fetchPackage('linux-image-cloud-amd64', 'linux-image-', cache);
  return { file, release: name.replace(/^linux-image-(?:unsigned-)?/, '') };
}

/**
 * Makes the files of the demo kernel image: `boot/vmlinuz` as the
 * distribution ships it, `boot/vmlinux` unpacked (it starts sooner; see
 * docs/guests.md), and `initrd`.
 *
 * @param deb - the kernel's package
 * @param directory - not there yet; `scratch` likewise, for what is in between
 */
export function writeKernelTree(deb: string, release: string, directory: string, scratch: string): void {
  const unpacked = join(scratch, 'package');
  mkdirSync(unpacked, { recursive: true });
  execFileSync('dpkg-deb', ['-x', deb, unpacked], { stdio: ['ignore', 'ignore', 'pipe'] });
  mkdirSync(join(directory, 'boot'), { recursive: true });
  const vmlinuz = join(unpacked, 'boot', `vmlinuz-${release}`);
  copyFileSync(vmlinuz, join(directory, 'boot/vmlinuz'));
  writeFileSync(join(directory, 'boot/vmlinux'), extractVmlinux(readFileSync(vmlinuz)));

  const modules = modulesOf(unpacked, release);
  writeInitrd(
    join(directory, 'initrd'),
    join(scratch, 'initrd'),
    MODULES.flatMap(modules),
    SEED_MODULES.flatMap(modules),
    modules('overlay'),
  );
}

/**
 * Makes the files of the image of the kernel's modules: what belongs at
 * `/lib/modules/RELEASE`, unpacked, with the lists that modprobe reads.
 *
 * @param directory - not there yet
 * @param scratch - as `writeKernelTree` has left it
 */
export function writeModulesTree(release: string, directory: string, scratch: string): void {
  const base = join(scratch, 'modules');
  const root = join(base, 'lib/modules', release);
  mkdirSync(dirname(root), { recursive: true });
  renameSync(modulesRootOf(join(scratch, 'package'), release), root);
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const plain = /^(.*\.ko)\.(?:xz|zst|gz)$/.exec(path)?.[1];
    if (plain === undefined) continue;
    writeFileSync(join(root, plain), unpack(readFileSync(join(root, path)), LARGEST_MODULE));
    rmSync(join(root, path));
  }
  // Not busybox's: its lists are not those that kmod's modprobe reads.
  const depmod = ['/sbin/depmod', '/usr/sbin/depmod'].find((path) => existsSync(path));
  if (depmod === undefined) throw new Error('Cannot make the lists of modules: there is no depmod; install kmod');
  execFileSync(depmod, ['-b', base, release], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 120_000 });
  renameSync(root, directory);
}

function modulesRootOf(unpacked: string, release: string): string {
  const root = ['lib/modules', 'usr/lib/modules']
    .map((path) => join(unpacked, path, release))
    .find((path) => existsSync(path));
  if (root === undefined) throw new Error(`No modules of ${release} in the kernel's package`);
  return root;
}

/** @returns what gives a module by its name, or nothing where the kernel has it built in */
function modulesOf(unpacked: string, release: string): (name: string) => readonly Module[] {
  const root = modulesRootOf(unpacked, release);
  const found = new Map<string, string>();
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const name = /([^/]+)\.ko(\.(?:xz|zst|gz))?$/.exec(path)?.[1];
    if (name !== undefined) found.set(name, join(root, path));
  }
  const builtIn = readFileSync(join(root, 'modules.builtin'), 'utf8');
  return (name) => {
    const file = found.get(name);
    if (file === undefined) {
      if (builtIn.includes(`/${name}.ko\n`)) return [];
      throw new Error(`Kernel ${release} has no module ${name}, neither built in nor in its package`);
    }
    // Debian 13 packs them; busybox's insmod wants them unpacked.
    return [{ name, content: unpack(readFileSync(file), LARGEST_MODULE) }];
  };
}
