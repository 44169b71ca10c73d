import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/fake-services.ts';
import { INTENTS, ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import type { Entry, LedgerEntry, VmStep, VmStepKind } from '../domain/ledger.ts';
import type { Spec } from '../domain/spec.ts';
import { planMake, planText, planUnmake, wantedSteps } from './plan.ts';
import type { Planned } from './step.ts';

const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/), { maxLength: 4 });
const images = fc.constantFrom('a', 'b', 'c d');
const { spec: sample } = sampleRecord();
const specs: fc.Arbitrary<Spec> = fc
  .record({ volumes: names, interfaces: names, kernel: images, initrd: fc.option(images), volumeImage: images })
  .map(({ volumes, interfaces, kernel, initrd, volumeImage }) => {
    const { initrd: _, ...rest } = sample;
    return {
      ...rest,
      kernel: { ...sample.kernel, image: kernel },
      ...(initrd !== null && { initrd: { image: initrd } }),
      volumes: volumes.map((id, i) => ({ id, isRoot: i === 0, isReadOnly: false, mountPoint: '', image: volumeImage })),
      interfaces: interfaces.map((name) => ({ name, type: 'TAP', allowMetadata: false, publishedPorts: [] })),
    };
  });
/** On the managed network: each interface has an address. */
const plannedOf = (spec: Spec): Planned => ({
  spec,
  allocation: {
    vmmUser: 70_000,
    interfaces: Object.fromEntries(
      spec.interfaces.map(({ name }, i) => [name, { mac: '52:54:00:00:00:01', address: `10.0.0.${i + 2}` }]),
    ),
  },
});
const entryOf = <K extends VmStepKind>({ kind, key }: VmStep<K>, i: number): LedgerEntry<K> => {
  const entry: Entry<K> = {
    ...{ entry: i + 1, owner: ownedBy('u'), kind, key, made: true },
    ...{ intent: INTENTS[kind], result: RESULTS[kind] },
  };
  return entry;
};
const madeOf = (spec: Spec): readonly LedgerEntry<VmStepKind>[] => wantedSteps(plannedOf(spec)).map(entryOf);

describe('what is still to make', () => {
  test('is nothing once all is made, whatever the spec', () => {
    fc.assert(fc.property(specs, (spec) => planMake(plannedOf(spec), madeOf(spec)).length === 0));
  });

  test('is what is not marked, in the order of the whole', () => {
    fc.assert(
      fc.property(specs, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), (spec, marks) => {
        const entries = madeOf(spec).map((entry, i) => ({ ...entry, made: marks[i] ?? false }));
        const left = planMake(plannedOf(spec), entries);
        expect(left).toEqual(wantedSteps(plannedOf(spec)).filter((_, i) => !(marks[i] ?? false)));
      }),
    );
  });

  test('names each step once', () => {
    fc.assert(
      fc.property(specs, (spec) => {
        const all = wantedSteps(plannedOf(spec)).map(({ kind, key }) => `${kind} ${key}`);
        return new Set(all).size === all.length;
      }),
    );
  });

  test('begins with what the rest stands on and ends with the VMM', () => {
    fc.assert(
      fc.property(specs, (spec) => {
        const kinds = wantedSteps(plannedOf(spec)).map(({ kind }) => kind);
        const first = (kind: string): number => (kinds as readonly string[]).indexOf(kind);
        expect(kinds.at(-1)).toBe('vmm');
        expect(kinds.lastIndexOf('image')).toBeLessThan(first('directory'));
        for (const kind of ['volume', 'lease', 'tap'])
          if (first(kind) >= 0) expect(first('directory')).toBeLessThan(first(kind));
        if (first('tap') >= 0) expect(first('guard')).toBeLessThan(first('tap'));
      }),
    );
  });

  test('has no lease where the addresses are not ours to give', () => {
    fc.assert(
      fc.property(specs, (spec) => {
        const interfaces = Object.fromEntries(spec.interfaces.map(({ name }) => [name, { mac: '52:54:00:00:00:01' }]));
        const steps = wantedSteps({ spec, allocation: { vmmUser: 70_000, interfaces } });
        return steps.every(({ kind }) => kind !== 'lease');
      }),
    );
  });

  test('holds an image once, however many use it', () => {
    const steps = wantedSteps(
      plannedOf({
        ...sample,
        kernel: { ...sample.kernel, image: 'x' },
        initrd: { image: 'x' },
        volumes: [{ id: 'r', isRoot: true, isReadOnly: false, mountPoint: '', image: 'x' }],
      }),
    );
    expect(steps.filter(({ kind }) => kind === 'image')).toEqual([{ kind: 'image', key: 'x' }]);
  });

  test('has ports published after the tap, before the VMM', () => {
    const publishedPorts = [{ hostPort: 8_080, guestPort: 80, protocol: 'tcp', hostIp: '' }] as const;
    const nic = { name: 'eth0', type: 'TAP', allowMetadata: false, publishedPorts } as const;
    const kinds = wantedSteps(plannedOf({ ...sample, interfaces: [nic] })).map(({ kind }) => kind);
    expect(kinds.slice(-5)).toEqual(['lease', 'guard', 'tap', 'publish', 'vmm']);
  });

  test('is told in lines that name what it is of', () => {
    const lines = planText(plannedOf({ ...sample, kernel: { ...sample.kernel, image: 'x' } }));
    expect(lines[0]).toBe('image: hold x for kernel');
    expect(lines).toContain('directory: make directories for state and for sockets');
    expect(lines.at(-1)).toMatch(/^vmm: start .* with vcpu \d+, memory \d+ MiB$/);
    for (const { id } of sample.volumes)
      expect(lines).toContainEqual(expect.stringMatching(`^volume ${id}: make a writable disk`));
  });
});

test('what is to unmake is all that the ledger names, marked or not, newest first', () => {
  const entries = madeOf(sample).map((entry, i) => ({ ...entry, made: i % 2 === 0 }));
  const plan = planUnmake([...entries].sort(() => 0));
  expect(plan.map(({ entry }) => entry)).toEqual(entries.map(({ entry }) => entry).toReversed());
});
