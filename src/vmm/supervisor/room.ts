import { dirname } from 'node:path';
import type { Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';

/** A guest that was held for want of disk goes on when so much is free. */
const RESUME_BYTES = 64 << 20;

/** Whether there is room again where the disks of a guest lie that it writes to. */
export async function hasRoom({ disks }: Pick<VmmConfig, 'disks'>, files: Pick<Files, 'freeBytes'>): Promise<boolean> {
  for (const { path, readOnly } of disks)
    if (!readOnly && (await files.freeBytes(dirname(path))) < RESUME_BYTES) return false;
  return true;
}
