import { createQemu } from './qemu/qemu.ts';

/** Every VMM there is, by the name in `spec.provider`, with what makes it. */
export const VMMS = { qemu: createQemu } as const;
