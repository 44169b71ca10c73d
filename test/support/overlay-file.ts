import { files } from '../../src/host/files.ts';
import { overlayOf } from '../../src/volumes/qcow2.ts';

/** Lays an empty overlay over a disk image, as the daemon makes them for volumes. @param path - not there */
export async function layOverlay(path: string, over: string, sizeBytes: number): Promise<void> {
  const overlay = overlayOf(over, sizeBytes);
  await files.writeSparse(path, overlay.sizeBytes, overlay.pieces);
}
