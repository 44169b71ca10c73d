import type { KernelFacts } from '../domain/kernel-facts.ts';
import type { ImageSays } from '../domain/process.ts';
import type { PullPolicy } from '../domain/spec.ts';

/** What a caller is told while bytes move. `total` is 0 where it is not known. */
export type OnBytes = (done: number, total: number) => void;

/** Of whoever asks for an image. */
export interface ForWhom {
  readonly signal: AbortSignal;
  /** The namespace that unpacking and the making of disks is counted for: namespaces take turns. Absent: the host's own. */
  readonly whose?: string;
}

/** An image that is on the host, unpacked. */
export interface LocalImage {
  /** Digest (`sha256:…`) of what the reference led to: the index's, where there is one. */
  readonly digest: string;
  /** The directory with the image's files, all layers applied. */
  readonly tree: string;
  /** What the user should know of how it was found: that the digest last seen was used, because its registry did not answer. */
  readonly remark?: string;
  /** Of a registry's, where it was asked or fetched. */
  readonly took?: ImageTimes;
}

/** How long a registry was waited for, in milliseconds. Absent: it was not done. */
export interface ImageTimes {
  /** To learn where the tag leads. */
  readonly lookUpMs?: number;
  /** To have it here, unpacked. */
  readonly pullMs?: number;
}

/** How an image would be come by, as far as that is known without asking a registry. */
export type ImageWay =
  /** It is read from this host, whatever the policy is. */
  | { readonly is: 'local' }
  /** Nobody is asked. */
  | { readonly is: 'cached'; readonly digest: string }
  /** The registry says where the tag leads, and the image is pulled unless it is here. `digest`: led to last, and here. */
  | { readonly is: 'look-up'; readonly digest?: string }
  /** By its digest. */
  | { readonly is: 'pull' }
  /** `why`: a sentence with the remedy, `image "…": …`. */
  | { readonly is: 'refused'; readonly why: string };

/** What a disk image of an image is to be like. */
export interface GoldenShape {
  /** Of the whole disk; absent: what the files need and some room. */
  readonly sizeInMb?: number;
  /** The file system is in the one partition, of this PARTUUID, of a GPT disk; absent: on the bare disk. Lower case. */
  readonly partitionUuid?: string;
}

/** What a spec asks of an image. A filename absent or empty: the best of what is there is taken. */
export interface BootWants {
  readonly kernel?: { readonly filename?: string };
  /** `releases`: what the kernel may be called, where it is in another image. */
  readonly initrd?: { readonly filename?: string; readonly releases?: readonly string[] };
}

export interface BootFile {
  /** Its name in the image, without a leading `/`. */
  readonly filename: string;
  /** On the host. */
  readonly path: string;
  /** By its name, or its bytes; absent where neither says. */
  readonly release?: string;
  /** Of an initrd: how, in Linux's words; absent: plain. */
  readonly packed?: string;
  /** Of an initrd: that it is ours, and runs what an archive behind it says. */
  readonly takesProcess?: true;
}

export interface KernelFile extends BootFile {
  readonly facts: KernelFacts;
  /** It had no PVH entry point: at `path` is what is loaded of it, with one put before. */
  readonly fitted?: true;
}

export interface BootFilesFound {
  readonly kernel?: KernelFile;
  readonly initrd?: BootFile;
}

export interface Golden {
  /** A raw disk image with the image's files in an ext4 file system, never written to. */
  readonly path: string;
  readonly sizeInMb: number;
}

/**
 * References → digests → trees and disk images, content-addressed and shared
 * by all microVMs. One pull and one disk image however many ask at once: a
 * caller that aborts leaves the others theirs; when the last one aborts the
 * work is ended.
 *
 * Where a registry is asked is the caller's choice: its {@link PullPolicy}.
 *
 * Faults carry their reason: `not_found` ImageNotFound; `invalid`
 * ImageInvalid (another CPU, corrupt); `tool` or `timeout` ImagePullFailed
 * (transient); `refused` ImageNotPulled; `full` StorageFull; `not_found`
 * KernelNotFound, InitrdNotFound.
 */
export interface Images {
  /**
   * Whether a reference may be used at all: its form, and for `oci:DIR:TAG`
   * and `oci-archive:FILE:TAG` that it lies under an allowed directory.
   * Reads no image. @returns what is wrong, as a sentence with the remedy
   */
  check(reference: string): Promise<string | undefined>;
  /**
   * The image of a reference, pulled and unpacked if it is not there yet.
   * @param options - `pull`: default ALWAYS
   */
  ensure(
    reference: string,
    options: ForWhom & { readonly pull?: PullPolicy; readonly onBytes?: OnBytes },
  ): Promise<LocalImage>;
  /** How `ensure` would come by it now. Only of a reference with which nothing is wrong. */
  way(reference: string, pull: PullPolicy): Promise<ImageWay>;
  /**
   * The image of a reference, if it is here already: nothing is pulled and no
   * registry is asked. A registry's tag counts as leading to where it led last.
   * @throws Fault `not_found` ImageNotFound where a local layout has no such image
   */
  cached(reference: string, signal: AbortSignal): Promise<LocalImage | undefined>;
  /**
   * Finds kernel and initrd in an unpacked image, by what the files are; a
   * kernel that no VMM of ours could enter is made one that can be. Symlinks
   * are followed inside the image only.
   *
   * @param options - `dry`: nothing is made
   * @throws Fault `not_found` KernelNotFound, InitrdNotFound; `invalid` for a name that leaves the image
   */
  bootFiles(
    image: LocalImage,
    wants: BootWants,
    options: { readonly signal: AbortSignal; readonly dry?: true },
  ): Promise<BootFilesFound>;
  /** The disk image of an unpacked image. Fault `refused` VolumeTooSmall. */
  golden(image: LocalImage, options: GoldenShape & ForWhom): Promise<Golden>;
  /**
   * What the configuration of an image says of the program in it, as it was when it was pulled.
   * @param digest - of one that is here
   * @returns null: nothing; undefined: that is not known of this image, or it is not here
   */
  says(digest: string): ImageSays | null | undefined;
  /** Ends what was cut off by a crash: half pulls and half disk images. */
  recover(signal: AbortSignal): Promise<void>;
}

/** A disk image that was made of an image. */
export interface CachedGolden {
  readonly path: string;
  readonly sizeInMb: number;
  /** On the disk: it is sparse. */
  readonly bytes: number;
}

/** One image of the cache. */
export interface CachedImage {
  readonly digest: string;
  /** In full, as they led to it; newest last. A tag that has moved is the newer image's. */
  readonly references: readonly string[];
  /** On the disk, with its disk images. */
  readonly bytes: number;
  readonly goldens: readonly CachedGolden[];
  /** Milliseconds since 1970. */
  readonly pulledAt: number;
  readonly lastUsedAt: number;
}

/** What microVMs hold: by digest, and, while a hold is being made, by the reference alone. */
export interface InUse {
  readonly digests: ReadonlySet<string>;
  readonly references: ReadonlySet<string>;
  /** False where it is not known who holds what: then everything is in use. */
  readonly isWhole: boolean;
}

export interface PullRequest {
  readonly signal: AbortSignal;
  readonly onBytes?: OnBytes;
  /** Makes the disk image of that size too. */
  readonly goldenSizeInMb?: number;
  /** Called when the disk image is begun. */
  readonly onGolden?: () => void;
}

export interface Pulled {
  readonly image: CachedImage;
  readonly remark?: string;
  readonly took?: ImageTimes;
}

/** The cache behind {@link Images}, with what its keeper needs. */
export interface ImageStore extends Images {
  /** What is there, used last first. */
  list(): Promise<readonly CachedImage[]>;
  /** A reference in full, the same for all ways to write it; the text itself where it is none. */
  fullName(reference: string): string;
  /** Pulls ahead of time: tries again what may go better soon, and keeps the image from being removed until it is done. */
  pull(reference: string, request: PullRequest): Promise<Pulled>;
  /**
   * Removes an image and its disk images.
   * @param inUse - asked at the last moment
   * @throws Fault `not_found`; Fault `refused` when it is in use, or on its way
   */
  remove(digest: string, inUse: () => InUse): Promise<CachedImage>;
  /**
   * Removes what is not in use, used last longest ago first, until no more
   * than `maxBytes` are left. @returns what was removed
   */
  prune(inUse: () => InUse, maxBytes: number): Promise<readonly CachedImage[]>;
  /** Called when a pull, or the making of a disk image, has taken disk. @returns how to stop */
  onGrowth(listener: () => void): () => void;
  /** Resolves once nothing is under way: before the ledger is closed. */
  settled(): Promise<void>;
}
