import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from './cpio.ts';
import { writeDemoTree } from './demo-tree.ts';
import { extractVmlinux } from './vmlinux.ts';

/** Debian's kernel for virtual machines; it depends on the package that holds the newest one. */
const METAPACKAGE = 'linux-image-cloud-amd64';

/**
 * What the initrd loads, in this order: each after what it needs. With them
 * the guest has disks, network and entropy over virtio (MMIO and PCI), tells
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
  'evdev',
  'button',
];

/**
 * Fetches the newest kernel package that apt knows, which is signed and
 * checked by apt, and does not install it.
 *
 * @param cache - where packages are kept
 * @returns the package's file and its kernel's release, e.g. `6.1.0-56-cloud-amd64`
 */
export function fetchKernel(cache: string): { file: string; release: string } {
  const depends = execFileSync('apt-cache', ['depends', '--important', METAPACKAGE], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error(`Cannot find the kernel: apt knows no ${METAPACKAGE}; run apt-get update`);
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
    return { file, release: name.replace(/^linux-image-(?:unsigned-)?/, '') };
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
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

  const initrd = join(scratch, 'initrd');
  writeDemoTree(initrd);
  copyFileSync(join(import.meta.dirname, 'initrd/init'), join(initrd, 'init'));
  mkdirSync(join(initrd, 'newroot'));
  const modules = join(initrd, 'lib/modules');
  mkdirSync(modules, { recursive: true });
  const root = ['lib/modules', 'usr/lib/modules']
    .map((path) => join(unpacked, path, release))
    .find((path) => existsSync(path));
  if (root === undefined) throw new Error(`No modules of ${release} in ${deb}`);
  const found = new Map<string, string>();
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const name = /([^/]+)\.ko(\.xz)?$/.exec(path)?.[1];
    if (name !== undefined) found.set(name, join(root, path));
  }
  const builtIn = readFileSync(join(root, 'modules.builtin'), 'utf8');
  const order = MODULES.filter((name) => {
    const file = found.get(name);
    if (file === undefined) {
      if (builtIn.includes(`/${name}.ko\n`)) return false;
      throw new Error(`Kernel ${release} has no module ${name}, neither built in nor in ${deb}`);
    }
    const to = join(modules, `${name}.ko`);
    // Debian 13 packs them; busybox's insmod wants them unpacked.
    if (file.endsWith('.xz')) writeFileSync(to, execFileSync('xz', ['-dc', file], { maxBuffer: 64 << 20 }));
    else copyFileSync(file, to);
    return true;
  });
  writeFileSync(join(modules, 'order'), order.map((name) => `${name}\n`).join(''));
  writeFileSync(join(directory, 'initrd'), gzipSync(cpio(initrd), { level: 9 }));
}
