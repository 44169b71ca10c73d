import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from '../../guest/cpio.ts';
import { run } from '../../src/host/run.ts';

/** A guest that does what its command line says and nothing else: see `INIT`. */
export interface TinyGuest extends Disposable {
  readonly kernel: string;
  /** As the distribution ships it, compressed. */
  readonly vmlinuz: string;
  readonly initrd: string;
  /** To be put on the kernel's command line. */
  readonly cmdline: string;
}

/** Made by `npm run setup`. */
const LAYOUT = join(import.meta.dirname, '../../.cache/images/demo');

/**
 * `do=poweroff|panic|reboot|fill`, after the line `tiny-guest: up …`; `fill`
 * writes 4 MiB to its first disk. With
 * `no-panic-device` the driver for that is not loaded.
 */
const INIT = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
read -r cmdline </proc/cmdline
while read -r module; do
  case "$module $cmdline" in virtio_pci* | pvpanic*no-panic-device*) continue ;; esac
  insmod "/lib/modules/$module.ko"
done </lib/modules/order
for disk in /sys/block/vd*; do
  [ -e "$disk" ] || continue
  name=\${disk##*/}
  wrote=no
  echo written | dd of="/dev/$name" bs=512 count=1 conv=sync,fsync 2>/dev/null && wrote=yes
  echo "tiny-guest: disk $name serial=$(cat "$disk/serial") ro=$(cat "$disk/ro") sectors=$(cat "$disk/size") wrote=$wrote"
done
for nic in /sys/class/net/*; do
  echo "tiny-guest: nic \${nic##*/} mac=$(cat "$nic/address") mtu=$(cat "$nic/mtu")"
done
echo "tiny-guest: up cpus=$(nproc) kb=$(awk '/MemTotal/{print $2}' /proc/meminfo)"
case $cmdline in
  *do=poweroff*) poweroff -f ;;
  *do=panic*) echo c >/proc/sysrq-trigger ;;
  *do=reboot*) reboot -f ;;
  *do=fill*) dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync 2>/dev/null && echo "tiny-guest: filled" ;;
esac
while :; do sleep 60; done
`;

/** Unpacks the demo kernel and gives its initrd another first program. */
export async function makeTinyGuest(): Promise<TinyGuest> {
  if (!existsSync(join(LAYOUT, 'index.json'))) throw new Error(`There is no ${LAYOUT}: run npm run setup`);
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-guest-'));
  try {
    const tree = join(directory, 'tree');
    const limits = { signal: AbortSignal.timeout(60_000), timeoutMs: 60_000 };
    await run(['umoci', 'raw', 'unpack', '--image', `${LAYOUT}:kernel`, tree], limits);
    const own = join(directory, 'own');
    mkdirSync(own);
    writeFileSync(join(own, 'tiny-init'), INIT);
    chmodSync(join(own, 'tiny-init'), 0o755);
    const initrd = join(directory, 'initrd');
    copyFileSync(join(tree, 'initrd'), initrd);
    appendFileSync(initrd, gzipSync(cpio(own))); // Linux unpacks one archive after the other
    return {
      kernel: join(tree, 'boot/vmlinux'),
      vmlinuz: join(tree, 'boot/vmlinuz'),
      initrd,
      cmdline: 'rdinit=/tiny-init',
      [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}
