import { z } from 'zod';
import { type BootFound, bootNotes, partitionNotes, releasesOf } from '../domain/boot-notes.ts';
import { Fault } from '../domain/fault.ts';
import { wordsForGuest } from '../domain/guest-words.ts';
import { KERNEL_PARTS, type KernelFacts, keptFacts } from '../domain/kernel-facts.ts';
import { entriesOf } from '../domain/ledger.ts';
import { type ImageSays, namesProgram } from '../domain/process.ts';
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
  readonly initrd?: { readonly filename: string; readonly path: string; readonly takesProcess?: true };
  /** Its configuration says something of the program in it, which a guest is told; absent too where an older daemon held it. */
  readonly saysProcess?: true;
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
    version: 2,
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
      initrd: maybe(z.strictObject({ filename: text, path: text, takesProcess: maybe(z.literal(true)) })),
      saysProcess: maybe(z.literal(true)),
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
    if (initrd && !initrd.takesProcess && namesProgram(vm.spec)) throw takesNone(initrd.filename, reference);
    const says = ports.images.says(local.digest);
    const machine = kernel ? ports.vmm(providerOf(vm)).remarks(vm.spec, kernel.facts).chosen : [];
    const notes = [
      ...bootNotes({ ...(kernel && { kernel }), ...(initrd && { initrd }) }, of),
      ...machine,
      ...(kernel ? partitionNotes(kernel.facts, vm.spec.volumes) : []),
      ...(says && 'wrong' in says && wants.includes('volume') ? [unusable(reference, says.wrong)] : []),
      ...timeNotes(reference, local.took),
    ];
    return {
      digest: local.digest,
      tree: local.tree,
      ...(local.remark !== undefined && { remark: `Image "${reference}": ${local.remark}` }),
      ...(kernel && { kernel: { ...kernel, facts: keptFacts(kernel.facts) } }),
      ...(initrd && {
        initrd: {
          ...{ filename: initrd.filename, path: initrd.path },
          ...(initrd.takesProcess && { takesProcess: true as const }),
        },
      }),
      ...(says && isTold(says) && { saysProcess: true as const }),
      notes,
    };
  },

  async unmake() {}, // the hold is the entry

  show:
    (_key, _intent, { digest, kernel, initrd }) =>
    (made) => ({
      ...made,
      ...(kernel && { kernel: { digest, filename: kernel.filename, path: kernel.path } }),
      ...(initrd && { initrd: { digest, filename: initrd.filename, path: initrd.path } }),
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

/** Whether there is anything for the guest in it: without a program its first one does as ever. */
const isTold = (says: ImageSays): boolean => 'wrong' in says || says.entrypoint.length + says.args.length > 0;

const unusable = (reference: string, wrong: string): string =>
  `Image "${reference}": what it says of its program cannot be used, and is not run: ${wrong}.`;

const takesNone = (filename: string, reference: string): Fault =>
  new Fault(
    'refused',
    `The guest cannot be told to run what process says: the initrd ${filename} of image "${reference}" is none that takes it; take the daemon's demo kernel, or an initrd of docs/guests.md`,
    { reason: 'ProviderRefused', violations: [{ field: 'process', description: `the initrd ${filename} takes none` }] },
  );

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
