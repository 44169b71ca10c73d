import type { KernelFacts, KernelPart } from '../../domain/kernel-facts.ts';

/**
 * Words that a part of Linux, built in, has among its bytes and nothing else
 * has, one of them at least: looked for in the unpacked kernel.
 */
const WORDS: readonly (readonly [KernelPart, readonly string[]])[] = [
  // The mark of ACPI's first table (acpica/tbxfroot.c); what is said when all is well, and when nothing is (bus.c).
  ['acpi', ['RSD PTR ', 'ACPI: Interpreter enabled', 'Unable to load the System Description Tables']],
  ['pci', ['PCI: CLS ', 'pci_bus\0']], // drivers/pci/quirks.c, which may be left out, and probe.c
  ['virtio-mmio', ['virtio-mmio']], // the driver's name: drivers/virtio/virtio_mmio.c
  ['virtio-mmio on the command line', ['virtio-mmio-cmdline']], // the devices' parent, there
  ['virtio-blk', ['virtio_blk']],
  ['unpacks gzip', ['Not a gzip file']], // lib/decompress_*.c
  ['unpacks zstd', ['Input is not in the ZSTD format']],
  ['unpacks xz', ['Input is not in the XZ format']],
];
/** What stands for a part. */
export const marksOf = (wanted: KernelPart): readonly string[] => WORDS.find(([part]) => part === wanted)?.[1] ?? [];

/** Said of a disk whose first table is damaged: block/partitions/efi.c, where nothing else can be left out. */
const READS_GPT = 'Alternate GPT is invalid';

const BANNER = 'Linux version ';
const RELEASE = /^Linux version ([\x21-\x7e]{1,128}) /;
/** What a word, or the banner with its release, may span of two pieces. */
const OVERLAP = 192;

/** Looks at an unpacked kernel as it goes by. */
export class PartsSeen {
  readonly #found = new Set<KernelPart>();
  #release: string | undefined;
  #isLinux = false;
  #readsGpt = false;
  #before: Buffer = Buffer.alloc(0);

  look(piece: Uint8Array): void {
    const bytes = Buffer.concat([this.#before, piece]);
    for (const [part, words] of WORDS)
      if (!this.#found.has(part) && words.some((word) => bytes.includes(word, 0, 'latin1'))) this.#found.add(part);
    if (!this.#readsGpt) this.#readsGpt = bytes.includes(READS_GPT, 0, 'latin1');
    if (this.#release === undefined) this.#lookForBanner(bytes);
    this.#before = bytes.subarray(-OVERLAP);
  }

  /** Whether it has what every Linux has. */
  get isLinux(): boolean {
    return this.#isLinux;
  }

  get facts(): KernelFacts {
    return {
      ...(this.#release !== undefined && { release: this.#release }),
      parts: WORDS.flatMap(([part]) => (this.#found.has(part) ? part : [])),
      readsGpt: this.#readsGpt,
    };
  }

  #lookForBanner(bytes: Buffer): void {
    for (let at = bytes.indexOf(BANNER); at >= 0; at = bytes.indexOf(BANNER, at + 1)) {
      this.#isLinux = true;
      this.#release = RELEASE.exec(bytes.toString('latin1', at, at + OVERLAP))?.[1];
      if (this.#release !== undefined) return;
    }
  }
}
