/** Where bytes lie: a file, or a part of one (a member of an archive). */
export interface Blob {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
  /** Of the bytes; absent: only what they unpack to is known. */
  readonly digest?: string;
}

/** What the tree is made of, from the lowest to the highest. */
export type Part =
  | {
      readonly is: 'layer';
      readonly blob: Blob;
      /** Digest of what it unpacks to. */
      readonly diffId: string;
    }
  /** A file of an artifact, as it is. */
  | { readonly is: 'file'; readonly blob: Blob; readonly name: string };

/** What an image may unpack to. */
export interface Limits {
  /** Of all layers together, unpacked. */
  readonly maxBytes: number;
  readonly maxInodes: number;
  readonly maxInDirectory: number;
  /** Bytes that must stay free on the disk. */
  readonly keepFreeBytes: number;
}

/** Makes the tree of an image. */
export interface UnpackJob {
  readonly is: 'unpack';
  /** An empty directory. */
  readonly target: string;
  readonly parts: readonly Part[];
  readonly limits: Limits;
}

/** Decompresses a file. */
export interface ExpandJob {
  readonly is: 'expand';
  readonly from: string;
  /** Not there. */
  readonly to: string;
  readonly maxBytes: number;
}

/** What the program gets on standard input, as JSON. */
export type Job = UnpackJob | ExpandJob;

/** What it answers on standard output, as JSON. */
export type Outcome =
  | {
      readonly is: 'done';
      /** On the disk, about as du(1) counts them. */
      readonly bytes: number;
      readonly inodes: number;
    }
  | {
      readonly is: 'refused';
      readonly kind: 'invalid' | 'full' | 'tool';
      /** A clause, in one line. */
      readonly why: string;
    }
  | {
      readonly is: 'beyond';
      readonly what: 'bytes' | 'inodes' | 'directory';
      /** Of a directory: its path, and how many are in it. */
      readonly where?: string;
      readonly count?: number;
    };
