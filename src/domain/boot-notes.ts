import type { KernelFacts } from './kernel-facts.ts';

/** What was found for a boot. */
export interface BootFound {
  readonly kernel?: {
    readonly filename: string;
    readonly release?: string;
    readonly facts: KernelFacts;
    readonly fitted?: true;
  };
  readonly initrd?: { readonly filename: string; readonly release?: string };
}

/** What a user should know of the files that were chosen: a sentence each. @param kernelReleases - where the kernel is of another image */
export function bootNotes({ kernel, initrd }: BootFound, kernelReleases: readonly string[] = []): readonly string[] {
  const notes: string[] = [];
  if (kernel?.fitted)
    notes.push(`Kernel ${kernel.filename} has no PVH entry point: it is started through one that was put before it.`);
  const releases = kernel ? releasesOf(kernel) : kernelReleases;
  if (initrd?.release !== undefined && releases.length > 0 && !releases.includes(initrd.release))
    notes.push(
      `Initrd ${initrd.filename} is of another release than the kernel, ${releases[0]}: its modules may not fit.`,
    );
  return notes;
}

/** What a kernel may be called: by its name, and by its bytes. */
export const releasesOf = ({ release, facts }: NonNullable<BootFound['kernel']>): readonly string[] => [
  ...new Set([release, facts.release].filter((one) => one !== undefined)),
];
