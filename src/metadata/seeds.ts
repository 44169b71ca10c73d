import type { MicroVm } from '../domain/microvm.ts';
import type { GuestNic } from '../domain/network-config.ts';
import type { Metadata } from '../domain/spec.ts';
import { type Seed, seedOf } from './seed.ts';
import { sourceOf } from './source.ts';

/** Kept of what guests asked for last, by its decoded size: bytes. */
const MAX_KEPT_BYTES = 16_777_216;

/** What a microVM's metadata is made of, as it is now. */
export interface Found {
  readonly vm: MicroVm;
  readonly nics: readonly GuestNic[];
  /** Reads it. */
  metadata(): Metadata;
}

export type Look = (uid: string) => Found | undefined;

/**
 * The seeds of all microVMs, each made when its guest first asks. It is kept
 * for the requests that follow, so that a guest that asks without end costs no
 * parsing, and made anew when the spec was written.
 */
export function createSeeds(look: Look, maxBytes: number = MAX_KEPT_BYTES): (uid: string) => Seed | undefined {
  // In the order of their last use.
  const kept = new Map<string, { readonly generation: number; readonly seed: Seed; readonly bytes: number }>();
  let total = 0;

  const drop = (uid: string): void => {
    total -= kept.get(uid)?.bytes ?? 0;
    kept.delete(uid);
  };

  return (uid) => {
    const found = look(uid);
    const before = kept.get(uid);
    drop(uid);
    if (!found) return undefined;
    const { generation } = found.vm;
    const seed =
      before?.generation === generation ? before.seed : seedOf(sourceOf(found.vm, found.metadata(), found.nics));
    const bytes = [...seed.files].reduce((sum, [name, content]) => sum + name.length + content.byteLength, 0);
    kept.set(uid, { generation, seed, bytes });
    total += bytes;
    for (const oldest of kept.keys()) {
      if (total <= maxBytes || kept.size === 1) break;
      drop(oldest);
    }
    return seed;
  };
}
