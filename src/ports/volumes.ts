import type { DiskFormat } from '../domain/capabilities.ts';

/** How a microVM's own copy of a disk image is made, cheapest first. */
export type CopyKind = 'reflink' | 'qcow2' | 'sparse';

export interface Disk {
  readonly path: string;
  readonly format: DiskFormat;
  /** The disk image below a qcow2 overlay. */
  readonly backing?: string;
  readonly sizeInMb: number;
}

/** What the host can do is found out once, at start. */
export interface Volumes {
  /** How copies are made for a VMM that takes these formats. */
  kindFor(formats: readonly DiskFormat[]): CopyKind;
  /** They lie in memory (tmpfs): what a guest writes to them is its monitor's memory. */
  readonly inMemory: boolean;
  /** The file that `make` makes in a directory, for a VMM that takes these formats: so the intent can name it before. */
  pathFor(directory: string, index: number, formats: readonly DiskFormat[]): string;
  /** Makes a writable copy of a disk image at `path`, of the kind that this is for. Twice is the same as once: what is half there is made anew. */
  make(golden: { readonly path: string; readonly sizeInMb: number }, path: string, signal: AbortSignal): Promise<Disk>;
  /** Not there is success. */
  remove(path: string, signal: AbortSignal): Promise<void>;
}
