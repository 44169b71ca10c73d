/** How a microVM's own copy of a disk image is made, cheapest first. */
export type CopyKind = 'reflink' | 'qcow2' | 'sparse';

export interface Disk {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  /** The disk image below a qcow2 overlay. */
  readonly backing?: string;
  readonly sizeInMb: number;
}

/** Chosen once, at start. */
export interface Volumes {
  readonly kind: CopyKind;
  /** They lie in memory (tmpfs): what a guest writes to them is its monitor's memory. */
  readonly inMemory: boolean;
  /** The file that `make` makes in a directory: so the intent can name it before. */
  pathFor(directory: string, index: number): string;
  /** Makes a writable copy of a disk image at `path`. Twice is the same as once: what is half there is made anew. */
  make(golden: { readonly path: string; readonly sizeInMb: number }, path: string, signal: AbortSignal): Promise<Disk>;
  /** Not there is success. */
  remove(path: string, signal: AbortSignal): Promise<void>;
}
