import { type BootFound, bootNotes, releasesOf } from '../domain/boot-notes.ts';
import { Fault } from '../domain/fault.ts';
import { wordsForGuest } from '../domain/guest-words.ts';
import type { KernelFacts } from '../domain/kernel-facts.ts';
import type { BootWants } from '../ports/images.ts';
import type { StepResults } from './facts.ts';
import { nicsOf } from './managed.ts';
import type { StepContext, StepDef } from './step.ts';

/**
 * A hold on an image: while the entry is there, the image is in use. The image
 * itself is the cache's (owner `images`). Kernel and initrd are judged here, by
 * what they are, before anything is made for them.
 */
export const image: StepDef<'image', { reference: string; wants: readonly string[] }, StepResults['image']> = {
  timeoutMs: 1_800_000,
  lane: 'images',
  onTimeout: 'ImagePullFailed',
  intent: ({ reference, wants }) => ({ reference, wants }),

  async make({ reference, wants }, context) {
    const { vm, ports, signal, onBytes } = context;
    const local = await ports.images.ensure(reference, { signal, onBytes });
    const of = kernelOf(context);
    const boot: BootWants = {
      ...(wants.includes('kernel') && { kernel: named(vm.spec.kernel.filename) }),
      ...(wants.includes('initrd') && {
        initrd: { ...named(vm.spec.initrd?.filename), ...(of && { releases: releasesOf(of) }) },
      }),
    };
    const { kernel, initrd } = boot.kernel || boot.initrd ? await ports.images.bootFiles(local, boot, { signal }) : {};
    if (kernel) refuseUnfit(kernel.facts, context);
    const machine = kernel ? ports.vmm(vm.spec.provider).remarks(vm.spec, kernel.facts).chosen : [];
    const notes = [...bootNotes({ ...(kernel && { kernel }), ...(initrd && { initrd }) }, of), ...machine];
    return {
      digest: local.digest,
      tree: local.tree,
      ...(local.remark !== undefined && { remark: `Image "${reference}": ${local.remark}` }),
      ...(kernel && { kernel }),
      ...(initrd && { initrd: { filename: initrd.filename, path: initrd.path } }),
      ...(notes.length > 0 && { notes }),
    };
  },

  async unmake() {}, // the hold is the entry

  show:
    (_step, _intent, { digest, kernel, initrd }) =>
    (made) => ({
      ...made,
      ...(kernel && { kernel: { digest, filename: kernel.filename, path: kernel.path } }),
      ...(initrd && { initrd: { digest, ...initrd } }),
    }),
};

const named = (filename: string | undefined) => (filename === undefined ? {} : { filename });

/** The kernel, where it was found in another image before. */
function kernelOf({ entries }: StepContext): BootFound['kernel'] {
  for (const { kind, made, result } of entries) {
    if (kind !== 'image' || !made) continue;
    const { kernel } = result as unknown as StepResults['image'];
    if (kernel?.facts) return { ...kernel, facts: kernel.facts };
  }
  return undefined;
}

/** What was well for the usual machine may be too much for the one that this kernel gets: fewer devices, a shorter line. */
function refuseUnfit(facts: KernelFacts, { vm, ports }: StepContext): void {
  const { spec } = vm;
  const wrong = ports.vmm(spec.provider).check(spec, wordsForGuest(vm, nicsOf(ports, vm)), facts);
  if (wrong.length === 0) return;
  const text = wrong.map(({ field, description }) => `${field}: ${description}`).join('; ');
  throw new Fault('refused', `The kernel's machine cannot do what the spec asks for: ${text}`, {
    reason: 'ProviderRefused',
    violations: wrong,
  });
}
