import type { LedgerEntry, VmStep, VmStepKind } from './ledger.ts';
import { metadataBy } from './metadata.ts';
import type { MicroVm } from './microvm.ts';
import type { InterfaceSpec, Spec } from './spec.ts';

/** What a plan is made of. */
export type Planned = Pick<MicroVm, 'spec' | 'allocation'>;

/** What of it is of the host's network: the condition NetworkReady stands for it, and a boot of the host takes it away. */
export const NETWORK_KINDS = [
  'lease',
  'guard',
  'tap',
  'publish',
  'macvtap',
  'metadata',
  'macvtap-metadata',
] as const satisfies readonly VmStepKind[];

/** Everything that a microVM of this spec needs, in the order in which it is made. */
export function wantedSteps({ spec, allocation }: Planned): readonly VmStep[] {
  const metadata = metadataBy(spec);
  const asking = (type: InterfaceSpec['type']): boolean =>
    spec.interfaces.some((nic) => nic.type === type && nic.allowMetadata);
  return [
    ...imageSteps(spec),
    { kind: 'directory', key: '' },
    ...spec.volumes.map(({ id }) => ({ kind: 'volume', key: id, id }) as const),
    ...(metadata.disk ? [{ kind: 'cidata', key: '' } as const] : []),
    ...spec.interfaces.flatMap(({ name, type, publishedPorts }): readonly VmStep[] => {
      if (type === 'MACVTAP') return [{ kind: 'macvtap', key: name, nic: name }];
      return [
        // On somebody else's bridge the addresses are not ours to give.
        ...(allocation.interfaces[name]?.address === undefined
          ? []
          : [{ kind: 'lease', key: name, nic: name } as const]),
        // Before its tap: nothing passes unguarded.
        { kind: 'guard', key: name, nic: name },
        { kind: 'tap', key: name, nic: name },
        ...(publishedPorts.length === 0 ? [] : [{ kind: 'publish', key: name, nic: name } as const]),
      ];
    }),
    ...(asking('TAP') ? [{ kind: 'metadata', key: '' } as const] : []),
    ...(asking('MACVTAP') ? [{ kind: 'macvtap-metadata', key: '' } as const] : []),
    { kind: 'vmm', key: '' },
  ];
}

/** What is still to make. Same facts, same plan: it reads no clock and touches no host. */
export function planMake(vm: Planned, entries: readonly LedgerEntry[]): readonly VmStep[] {
  const made = new Set(entries.filter((e) => e.made).map((e) => `${e.kind} ${e.key}`));
  return wantedSteps(vm).filter((step) => !made.has(`${step.kind} ${step.key}`));
}

/** What is still to unmake: all that the ledger names, whether marked or only intended, newest first. */
export function planUnmake(entries: readonly LedgerEntry[]): readonly LedgerEntry[] {
  return entries.toSorted((a, b) => b.entry - a.entry);
}

/** One hold for each image, however often the spec names it. */
function imageSteps(spec: Spec): readonly VmStep<'image'>[] {
  const wants = new Map<string, Set<'kernel' | 'initrd' | 'volume'>>();
  const want = (reference: string, role: 'kernel' | 'initrd' | 'volume'): void => {
    const roles = wants.get(reference) ?? new Set();
    wants.set(reference, roles.add(role));
  };
  want(spec.kernel.image, 'kernel');
  if (spec.initrd) want(spec.initrd.image, 'initrd');
  for (const { image } of spec.volumes) want(image, 'volume');
  return [...wants].map(([reference, roles]) => ({ kind: 'image', key: reference, reference, wants: [...roles] }));
}
