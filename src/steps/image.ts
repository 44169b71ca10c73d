import { z } from 'zod';
import { type BootFound, bootNotes, partitionNotes, releasesOf } from '../domain/boot-notes.ts';
import { Fault } from '../domain/fault.ts';
import { wordsForGuest } from '../domain/guest-words.ts';
import { KERNEL_PARTS, type KernelFacts, keptFacts } from '../domain/kernel-facts.ts';
import { entriesOf } from '../domain/ledger.ts';
import { providerOf } from '../domain/provider-of.ts';
import { pullPolicyOf } from '../domain/spec.ts';
import type { BootWants, ImageTimes } from '../ports/images.ts';
import { nicsOf } from './managed.ts';
import { maybe, text, texts } from './row.ts';
import type { Planned, StepContext, VmStepDef } from './step.ts';

const ROLES = ['kernel', 'initrd', 'volume'] as const;
type Role = (typeof ROLES)[number];

export interface ImageResult {
  readonly digest: string;
  readonly tree: string;
  /** That its registry did not answer, and what was used instead. */
  readonly remark?: string;
  readonly kernel?: {
    readonly filename: string;
    readonly path: string;
    readonly release?: string;
    readonly fitted?: true;
    readonly facts: KernelFacts;
  };
  readonly initrd?: { readonly filename: string; readonly path: string };
  /** What the user should know of the files that were chosen, and the machine that they get. */
  readonly notes: readonly string[];
}

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    image: { intent: { readonly reference: string; readonly wants: readonly Role[] }; result: ImageResult };
  }
}

/** The first daemons did not look at kernels. */
export const kernelFacts = z
  .strictObject({ release: maybe(text), parts: maybe(z.array(z.enum(KERNEL_PARTS))), unseen: maybe(text) })
  .default({ unseen: 'it was not looked at when it was chosen' });

/**
 * A hold on an image: while the entry is there, the image is in use. The image
 * itself is the cache's (owner `images`). Kernel and initrd are judged here, by
 * what they are, before anything is made for them.
 */
export const image: VmStepDef<'image'> = {
  row: {
    version: 1,
    intent: z.strictObject({ reference: text, wants: z.array(z.enum(ROLES)) }),
    result: z.strictObject({
      digest: text,
      tree: text,
      remark: maybe(text),
      kernel: maybe(
        z.strictObject({
          filename: text,
          path: text,
          release: maybe(text),
          fitted: maybe(z.literal(true)),
          facts: kernelFacts,
        }),
      ),
      initrd: maybe(z.strictObject({ filename: text, path: text })),
      notes: texts.default([]),
    }),
  },
  timeoutMs: 1_800_000,
  lane: 'images',
  // An initrd is chosen for the kernel that was found before.
  after: ['image'],
  onTimeout: 'ImagePullFailed',
  condition: 'ImagesReady',
  atBoot: 'stays',
  wanted: (vm) => [...rolesOf(vm).keys()],
  says: (reference, vm) => `hold ${reference} for ${wantsOf(vm, reference).join(', ')}`,
  saysKey: true,
  intent: (reference, { vm }) => ({ reference, wants: wantsOf(vm, reference) }),

  async make({ reference, wants }, context) {
    const { vm, ports, signal, onBytes } = context;
    const pull = pullPolicyOf(vm.spec);
    const local = await ports.images.ensure(reference, { signal, whose: vm.spec.namespace, pull, onBytes });
    const of = kernelOf(context);
    const boot: BootWants = {
      ...(wants.includes('kernel') && { kernel: named(vm.spec.kernel.filename) }),
      ...(wants.includes('initrd') && {
        initrd: { ...named(vm.spec.initrd?.filename), ...(of && { releases: releasesOf(of) }) },
      }),
    };
    const { kernel, initrd } = boot.kernel || boot.initrd ? await ports.images.bootFiles(local, boot, { signal }) : {};
    if (kernel) refuseUnfit(kernel.facts, context);
    const machine = kernel ? ports.vmm(providerOf(vm)).remarks(vm.spec, kernel.facts).chosen : [];
    const notes = [
      ...bootNotes({ ...(kernel && { kernel }), ...(initrd && { initrd }) }, of),
      ...machine,
      ...(kernel ? partitionNotes(kernel.facts, vm.spec.volumes) : []),
      ...timeNotes(reference, local.took),
    ];
    return {
      digest: local.digest,
      tree: local.tree,
      ...(local.remark !== undefined && { remark: `Image "${reference}": ${local.remark}` }),
      ...(kernel && { kernel: { ...kernel, facts: keptFacts(kernel.facts) } }),
      ...(initrd && { initrd: { filename: initrd.filename, path: initrd.path } }),
      notes,
    };
  },

  async unmake() {}, // the hold is the entry

  show:
    (_key, _intent, { digest, kernel, initrd }) =>
    (made) => ({
      ...made,
      ...(kernel && { kernel: { digest, filename: kernel.filename, path: kernel.path } }),
      ...(initrd && { initrd: { digest, ...initrd } }),
    }),

  notes: ({ remark, notes }) => ({ remarks: remark === undefined ? [] : [remark], notes }),

  expect() {}, // a hold: nothing of its own on the host
};

/** One hold for each image, however often the spec names it. */
function rolesOf({ spec }: Planned): ReadonlyMap<string, ReadonlySet<Role>> {
  const roles = new Map<string, Set<Role>>();
  const want = (reference: string, role: Role): void =>
    void roles.set(reference, (roles.get(reference) ?? new Set()).add(role));
  want(spec.kernel.image, 'kernel');
  if (spec.initrd) want(spec.initrd.image, 'initrd');
  for (const volume of spec.volumes) want(volume.image, 'volume');
  return roles;
}

/** What of the time was not ours. */
function timeNotes(reference: string, { lookUpMs, pullMs }: ImageTimes = {}): readonly string[] {
  const times = [
    ...(lookUpMs === undefined ? [] : [`registry look-up ${timeText(lookUpMs)}`]),
    ...(pullMs === undefined ? [] : [`pull ${timeText(pullMs)}`]),
  ];
  return times.length === 0 ? [] : [`Image "${reference}": ${times.join(', ')}.`];
}

const timeText = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);

const wantsOf = (vm: Planned, reference: string): readonly Role[] => [...(rolesOf(vm).get(reference) ?? [])];

const named = (filename: string | undefined) => (filename === undefined ? {} : { filename });

/** The kernel, where it was found in another image before. */
const kernelOf = ({ entries }: StepContext): BootFound['kernel'] =>
  entriesOf(entries, 'image').find(({ result }) => result?.kernel)?.result?.kernel;

/** What was well for the usual machine may be too much for the one that this kernel gets: fewer devices, a shorter line. */
function refuseUnfit(facts: KernelFacts, { vm, ports }: StepContext): void {
  const { spec } = vm;
  const wrong = ports.vmm(providerOf(vm)).check(spec, wordsForGuest(vm, nicsOf(ports, vm)), facts);
  if (wrong.length === 0) return;
  const text = wrong.map(({ field, description }) => `${field}: ${description}`).join('; ');
  throw new Fault('refused', `The kernel's machine cannot do what the spec asks for: ${text}`, {
    reason: 'ProviderRefused',
    violations: wrong,
  });
}
