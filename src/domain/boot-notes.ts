import { type KernelFacts, type KernelPart, kernelHas } from './kernel-facts.ts';

/** What was found for a boot. */
export interface BootFound {
  readonly kernel?: {
    readonly filename: string;
    readonly release?: string;
    readonly facts: KernelFacts;
    readonly fitted?: true;
  };
  readonly initrd?: { readonly filename: string; readonly release?: string; readonly packed?: string };
}

/** What Linux unpacks by code that is seen in its bytes, with the option that it comes by. */
const UNPACKED: Readonly<Record<string, readonly [KernelPart, option: string]>> = {
  gzip: ['unpacks gzip', 'CONFIG_RD_GZIP'],
  zstd: ['unpacks zstd', 'CONFIG_RD_ZSTD'],
  xz: ['unpacks xz', 'CONFIG_RD_XZ'],
};

/**
 * What a user should know of the files that were chosen: a sentence each.
 * @param other - the kernel, where it is of another image and told of before
 */
export function bootNotes({ kernel, initrd }: BootFound, other?: BootFound['kernel']): readonly string[] {
  const notes: string[] = [];
  if (kernel?.fitted)
    notes.push(`Kernel ${kernel.filename} has no PVH entry point: it is started through one that was put before it.`);
  const judged = kernel ?? other;
  const releases = judged ? releasesOf(judged) : [];
  if (initrd?.release !== undefined && releases.length > 0 && !releases.includes(initrd.release))
    notes.push(
      `Initrd ${initrd.filename} is of another release than the kernel, ${releases[0]}: its modules may not fit.`,
    );
  const [part, option] = (initrd?.packed === undefined ? undefined : UNPACKED[initrd.packed]) ?? [];
  if (initrd && judged && part !== undefined && kernelHas(judged.facts, part) === false)
    notes.push(
      `Initrd ${initrd.filename} is packed with ${initrd.packed}, and the kernel does not unpack that (${option}).`,
    );
  return notes;
}

/**
 * What a user should know of partitions that are asked for: a sentence each. No initrd helps, for it is no module.
 */
export const partitionNotes = (
  { readsGpt }: KernelFacts,
  volumes: readonly { readonly id: string; readonly partitionId?: string }[],
): readonly string[] =>
  volumes
    .filter(({ partitionId }) => partitionId !== undefined && readsGpt === false)
    .map(
      ({ id }) =>
        `Volume ${id} has a partition_id, and the kernel reads no GPT (CONFIG_EFI_PARTITION): the guest will not find its partition. Take another kernel, or leave partition_id out.`,
    );

/** What a kernel may be called: by its name, and by its bytes. */
export const releasesOf = ({ release, facts }: NonNullable<BootFound['kernel']>): readonly string[] => [
  ...new Set([release, facts.release].filter((one) => one !== undefined)),
];
