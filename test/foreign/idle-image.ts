import { join } from 'node:path';
import { idleKernel } from '../faults/idle-kernel.ts';
import { newc } from '../support/boot-bytes.ts';
import { writeLayout } from '../support/oci-layout.ts';
import type { Wire } from '../support/wire-bytes.ts';

/** The files that the clients' requests name, of a guest that costs nothing. */
const KERNELS = ['vmlinux', 'vmlinux.bin', 'boot/vmlinux'];
const INITRDS = ['initrd', 'initrd-generic', 'F'];

/** An image that stands for each of the clients': kernel, initrd and root in one. @returns its reference */
export async function idleImage(directory: string): Promise<string> {
  const layer = [
    ...['boot', 'etc'].map((name) => ({ name, type: 'directory' as const, mode: 0o755 })),
    ...KERNELS.map((name) => ({ name, data: idleKernel() })),
    ...INITRDS.map((name) => ({ name, data: newc() })),
    { name: 'etc/hostname', data: 'idle\n' },
  ];
  await writeLayout(join(directory, 'idle'), { v1: { layers: [layer] } });
  return `oci:${directory}/idle:v1`;
}

/** A recorded request with other images: nothing else of it changes. */
export function withImages(request: Wire, images: readonly string[], image: string): Wire {
  return request.map(([tag, value]) => {
    if (Array.isArray(value)) return [tag, withImages(value as Wire, images, image)] as const;
    return [tag, typeof value === 'string' && images.includes(value) ? image : value] as const;
  });
}
