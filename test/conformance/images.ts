import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from '../../guest/cpio.ts';
import { makeImage } from '../../guest/make-image.ts';
import { blkidFiles } from '../support/blkid.ts';
import { DEMO, KERNEL, ROOT } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';
import { kernelNamed } from './kernel-named.ts';

/** Where the registry of the scene's network listens. */
export const REGISTRY = '127.0.0.1:5001';

/** References of what the suite boots. */
export interface Images {
  /** An --image-root. */
  readonly directory: string;
  /** Whose root says everything on the console: report.sh. */
  readonly root: string;
  /** The same, with an init of its own that does nothing of what a guest is told. */
  readonly deaf: string;
  /** The demo kernel and initrd. */
  readonly kernel: string;
  /** Of guests whose kernel is no row's concern, with its initrd: the demo's, or in a sample the small one, which starts sooner. */
  readonly anyKernel: string;
  /** A kernel that needs no initrd. */
  readonly small: string;
  /** A root with systemd and cloud-init. */
  readonly debian: string;
  /** Roots that have nothing of ours: the distribution's, by its name, and as others build one (`built`). */
  stock(name: 'bookworm' | 'trixie' | 'built'): string;
  /** The demo kernel's modules, and its release. */
  readonly modules: string;
  readonly release: string;
  /** Kernels and initrds that say what they are called, under names that nobody would try. */
  readonly named: string;
  /** The same in a registry: a kernel at its tag, and another by digest, whose tag has gone on to the first. */
  readonly byTag: string;
  readonly byDigest: string;
  /** An initrd that stays, with report.sh in it. */
  readonly staying: string;
  /** Three files, of which the third replaces the first, and so on: see VOLUME_LAYERS. */
  readonly layers: string;
  /** One file: `hello`. */
  readonly data: string;
  readonly other: string;
}

const SCRIPT = readFileSync(join(import.meta.dirname, 'report.sh'));
/** No shell on the console: only the report is there. */
const INITTAB = `::sysinit:/etc/init.d/rcS
::respawn:/sbin/flintlock-agent
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
`;
/** An init that goes no way of ours. Where the initrd comes first these are mounted already. */
const DEAF = `#!/bin/sh
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
exec /etc/flintlock/run </dev/console >/dev/console 2>&1
`;
const PASSWD = 'root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n';

/** A file capability in version 2: cap_net_raw (13), effective and permitted (capability.h). */
const CAP_NET_RAW = Buffer.from([1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
export const CAP_NET_RAW_MASK = '0000000000002000';

/**
 * Makes them all.
 * @param directory - there, and empty
 * @param isSample - whether the demo kernel is only where a row is about kernels
 */
export async function makeImages(directory: string, isSample: boolean): Promise<Images> {
  const guest = join(directory, 'guest');
  const root = makeImage({
    layout: guest,
    tag: 'root',
    demo: true,
    files: {
      '/etc/flintlock/run': { mode: 0o755, content: SCRIPT },
      '/etc/inittab': INITTAB,
      '/etc/passwd': PASSWD,
      ...blkidFiles(),
    },
  });
  const deaf = makeImage({
    layout: guest,
    tag: 'deaf',
    demo: true,
    files: {
      '/etc/flintlock/run': { mode: 0o755, content: SCRIPT },
      '/etc/passwd': PASSWD,
      '/sbin/deaf': { mode: 0o755, content: DEAF },
    },
  });
  const small = `oci:${ROOT}/.cache/images/kernel:latest`;
  const volumes = join(directory, 'volumes');
  const busybox = readFileSync('/bin/busybox');
  await writeLayout(volumes, {
    layers: {
      layers: [
        [
          { name: 'replaced', data: 'below\n' },
          { name: 'removed', data: 'below\n' },
          { name: 'emptied', type: 'directory' },
          { name: 'emptied/removed', data: 'below\n' },
          { name: 'kept', data: 'below\n', uid: 1234, gid: 5678, mode: 0o640 },
        ],
        [
          { name: 'replaced', data: 'above\n', mode: 0o4755, uid: 7, gid: 8 },
          { name: '.wh.removed' },
          { name: 'emptied', type: 'directory', mode: 0o1777 },
          { name: 'emptied/.wh..wh..opq' },
          { name: 'emptied/new', data: 'above\n' },
        ],
        [
          { name: 'first', data: 'twice\n' },
          { name: 'second', type: 'hard link', link: 'first' },
          { name: 'pointer', type: 'symlink', link: 'kept' },
          { name: 'capable', type: 'directory' },
          { name: 'capable/busybox', data: busybox, mode: 0o755, xattrs: { 'security.capability': CAP_NET_RAW } },
        ],
      ],
    },
    data: { layers: [[{ name: 'hello', data: 'data\n' }]] },
    other: { layers: [[{ name: 'hello', data: 'other\n' }]] },
  });
  const kernels = join(directory, 'kernels');
  const { vmlinux, initrd } = unpackDemo(join(directory, '.demo'));
  const named = (name: string, data: Uint8Array, path: string) => ({ name: path, data: kernelNamed(data, name) });
  const digests = await writeLayout(kernels, {
    named: {
      layers: [
        [
          named('well-known', vmlinux, 'vmlinux'),
          named('given', vmlinux, 'special-kernel'),
          named('nested', vmlinux, 'deep/er/kernel'),
          { name: 'initrd', data: Buffer.concat([initrd, initrdNamed('well-known', directory)]) },
          { name: 'special-initrd', data: Buffer.concat([initrd, initrdNamed('given', directory)]) },
        ],
      ],
    },
    first: { layers: [[named('first', vmlinux, 'vmlinux')]] },
    second: { layers: [[named('second', vmlinux, 'vmlinux')]] },
    staying: { layers: [[{ name: 'initrd', data: Buffer.concat([initrd, initrdStaying(directory)]) }]] },
  });
  return {
    directory,
    root,
    deaf,
    kernel: KERNEL,
    anyKernel: isSample ? small : KERNEL,
    debian: `oci:${ROOT}/.cache/images/debian:latest`,
    stock: (name) => `oci:${ROOT}/.cache/images/${name === 'bookworm' ? 'stock-bookworm:latest' : `stock:${name}`}`,
    modules: `oci:${DEMO}:modules`,
    release: /Linux version (\S+) /.exec(Buffer.from(vmlinux).toString('latin1'))?.[1] ?? 'unknown',
    small,
    named: `oci:${kernels}:named`,
    byTag: `${REGISTRY}/suite/kernels:first`,
    byDigest: `${REGISTRY}/suite/kernels:first@${digests.second}`,
    staying: `oci:${kernels}:staying`,
    layers: `oci:${volumes}:layers`,
    data: `oci:${volumes}:data`,
    other: `oci:${volumes}:other`,
  };
}

function unpackDemo(directory: string): { vmlinux: Uint8Array; initrd: Uint8Array } {
  execFileSync('umoci', ['raw', 'unpack', '--image', `${DEMO}:kernel`, directory], { stdio: 'pipe', timeout: 60_000 });
  try {
    return { vmlinux: readFileSync(join(directory, 'boot/vmlinux')), initrd: readFileSync(join(directory, 'initrd')) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Goes behind an initrd: Linux unpacks one archive after the other. Booted by `rdinit=/named`. */
const initrdNamed = (name: string, scratch: string): Buffer =>
  archive(scratch, { named: `#!/bin/sh\necho "report: initrd=${name}"\nexec /init\n` });

const initrdStaying = (scratch: string): Buffer =>
  archive(scratch, { 'etc/flintlock/run': SCRIPT, 'etc/passwd': PASSWD, 'etc/inittab': INITTAB });

function archive(scratch: string, files: Readonly<Record<string, string | Uint8Array>>): Buffer {
  const tree = join(scratch, '.archive');
  try {
    for (const [path, content] of Object.entries(files)) {
      const to = join(tree, path);
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, content);
      chmodSync(to, 0o755);
    }
    return gzipSync(cpio(tree));
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}
