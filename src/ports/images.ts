/** What a caller is told while bytes move. `total` is 0 where it is not known. */
export type OnBytes = (done: number, total: number) => void;

/** An image that is on the host, unpacked. */
export interface LocalImage {
  /** `sha256:…` of what the reference led to: the index's, where there is one. */
  readonly digest: string;
  /** The directory with the image's files, all layers applied. */
  readonly tree: string;
}

export interface Golden {
  /** A raw ext4 image with the image's files, never written to. */
  readonly path: string;
  readonly sizeInMb: number;
}

/**
 * References → digests → trees and disk images, content-addressed and shared
 * by all microVMs. One pull and one disk image however many ask at once: a
 * caller that aborts leaves the others theirs; when the last one aborts the
 * work is ended.
 *
 * Faults carry their reason: `not_found` ImageNotFound; `invalid`
 * ImageInvalid (another CPU, corrupt); `tool` or `timeout` ImagePullFailed
 * (transient); `full` StorageFull; `not_found` KernelNotFound.
 */
export interface Images {
  /**
   * Whether a reference may be used at all: its form, and for `oci:DIR:TAG`
   * and `oci-archive:FILE:TAG` that it lies under an allowed directory.
   * Reads no image. @returns what is wrong, as a sentence with the remedy
   */
  check(reference: string): Promise<string | undefined>;
  /** The image of a reference, pulled and unpacked if it is not there yet. */
  ensure(reference: string, options: { readonly signal: AbortSignal; readonly onBytes?: OnBytes }): Promise<LocalImage>;
  /**
   * Finds a file in an unpacked image. Symlinks are followed inside the image only.
   * @param filename - as in the spec; absent: the well-known names of the role are tried
   * @returns its name in the image and its path on the host
   */
  file(
    image: LocalImage,
    role: 'kernel' | 'initrd',
    filename: string | undefined,
  ): Promise<{ readonly filename: string; readonly path: string }>;
  /** The disk image of an unpacked image. `sizeInMb` absent: what the files need and some room. Fault `refused` VolumeTooSmall. */
  golden(image: LocalImage, options: { readonly sizeInMb?: number; readonly signal: AbortSignal }): Promise<Golden>;
  /** Ends what was cut off by a crash: half pulls and half disk images. */
  recover(signal: AbortSignal): Promise<void>;
}
