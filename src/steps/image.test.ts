import { describe, expect, test } from 'vitest';
import type { Violation } from '../domain/fault.ts';
import type { KernelFacts } from '../domain/kernel-facts.ts';
import type { IntentOf, LedgerEntry } from '../domain/ledger.ts';
import type { ImageSays, ProcessSpec } from '../domain/process.ts';
import { PULL_POLICIES, type PullPolicy } from '../domain/spec.ts';
import type { BootFilesFound, BootWants, Images, ImageTimes } from '../ports/images.ts';
import { image } from './image.ts';
import type { StepContext } from './step.ts';

const FACTS: KernelFacts = { release: '6.1.0', parts: [] };
const KERNEL = { filename: 'vmlinux', path: '/t/vmlinux', facts: FACTS };
const signal = new AbortController().signal;

/** What the step asked the images for, with what it found. */
function stage(
  found: BootFilesFound,
  more: {
    entries?: readonly Partial<LedgerEntry>[];
    wrong?: readonly Violation[];
    pullPolicy?: PullPolicy;
    took?: ImageTimes;
    says?: ImageSays;
    process?: ProcessSpec;
  } = {},
) {
  const asked: BootWants[] = [];
  const checked: (KernelFacts | undefined)[] = [];
  const turns: (string | undefined)[] = [];
  const pulls: (PullPolicy | undefined)[] = [];
  const spec = {
    id: 'web',
    namespace: 'default',
    kernel: { image: 'k', cmdline: '', addNetworkConfig: false, filename: 'vmlinux' },
    initrd: { image: 'i' },
    provider: '',
    volumes: [],
    interfaces: [],
    metadata: {},
    ...(more.pullPolicy && { pullPolicy: more.pullPolicy }),
    ...(more.process && { process: more.process }),
  };
  const context = {
    vm: { uid: '01JD8ZZZZZZZZZZZZZZZZZZZZZ', spec, allocation: { interfaces: {} }, made: {} },
    entries: more.entries ?? [],
    signal,
    onBytes: () => undefined,
    ports: {
      images: {
        ensure: async (_: unknown, { whose, pull }: Parameters<Images['ensure']>[1]) => {
          turns.push(whose);
          pulls.push(pull);
          return { digest: 'sha256:1', tree: '/t', ...(more.took && { took: more.took }) };
        },
        bootFiles: async (_: unknown, wants: BootWants) => {
          asked.push(wants);
          return found;
        },
        says: () => more.says,
      },
      vmm: () => ({
        check: (_spec: unknown, _words: unknown, kernel?: KernelFacts) => {
          checked.push(kernel);
          return more.wrong ?? [];
        },
        remarks: () => ({ chosen: ['The machine has no ACPI.'], warnings: ['It may find nothing.'] }),
      }),
    },
  } as unknown as StepContext;
  const make = (...wants: IntentOf<'image'>['wants'][number][]) => image.make({ reference: 'k', wants }, context);
  return { make, asked, checked, turns, pulls };
}

describe('the hold on an image', () => {
  test('of a kernel has what was found, and what the user should know', async () => {
    const { make, asked, checked, turns } = stage({ kernel: { ...KERNEL, fitted: true } });
    expect(await make('kernel')).toEqual({
      digest: 'sha256:1',
      tree: '/t',
      kernel: { ...KERNEL, fitted: true },
      notes: [
        'Kernel vmlinux has no PVH entry point: it is started through one that was put before it.',
        'The machine has no ACPI.',
      ],
    });
    expect(asked).toEqual([{ kernel: { filename: 'vmlinux' } }]);
    expect(checked).toEqual([FACTS]);
    expect(turns).toEqual(['default']);
  });

  test('of a kernel whose machine cannot do what the spec asks for is refused, before a disk is made', async () => {
    const wrong = [{ field: 'volumes', description: 'there are 9 volumes' }];
    await expect(stage({ kernel: KERNEL }, { wrong }).make('kernel')).rejects.toMatchObject({
      reason: 'ProviderRefused',
      terminal: true,
      message: "The kernel's machine cannot do what the spec asks for: volumes: there are 9 volumes",
    });
  });

  test('of an initrd in another image knows the kernel that was found before', async () => {
    const result = { digest: 'sha256:0', tree: '/k', kernel: { ...KERNEL, release: '6.1' } };
    const entries = [{ kind: 'image', key: 'k', made: true, result }] as unknown as readonly LedgerEntry[];
    const { make, asked, checked } = stage(
      { initrd: { filename: 'initrd.img-6.2', path: '/t/i', release: '6.2' } },
      { entries },
    );
    expect(await make('initrd')).toEqual({
      digest: 'sha256:1',
      tree: '/t',
      initrd: { filename: 'initrd.img-6.2', path: '/t/i' },
      notes: ['Initrd initrd.img-6.2 is of another release than the kernel, 6.1: its modules may not fit.'],
    });
    expect(asked).toEqual([{ initrd: { releases: ['6.1', '6.1.0'] } }]);
    expect(checked).toEqual([]);
  });

  test('is made as the policy of its microVM says; one of before there were any is as ALWAYS', async () => {
    for (const pullPolicy of PULL_POLICIES) {
      const { make, pulls } = stage({}, { pullPolicy });
      await make('volume');
      expect(pulls).toEqual([pullPolicy]);
    }
    const { make, pulls } = stage({});
    await make('volume');
    expect(pulls).toEqual(['ALWAYS']);
  });

  test.each([
    [{ lookUpMs: 34.4, pullMs: 2_140 }, 'Image "k": registry look-up 34 ms, pull 2.1 s.'],
    [{ lookUpMs: 34.4 }, 'Image "k": registry look-up 34 ms.'],
    [{ pullMs: 12 }, 'Image "k": pull 12 ms.'],
  ])('tells what was waited for: %o', async (took, note) => {
    expect(await stage({}, { took }).make('volume')).toMatchObject({ notes: [note] });
  });

  test('of a volume asks for no file', async () => {
    const { make, asked } = stage({});
    expect(await make('volume')).toEqual({ digest: 'sha256:1', tree: '/t', notes: [] });
    expect(asked).toEqual([]);
  });

  const SAYS = { entrypoint: ['/x'], args: [], environment: [], user: '', directory: '' };
  test('of a root knows whether its image says what runs, and what is wrong with that', async () => {
    expect(await stage({}, { says: SAYS }).make('volume')).toMatchObject({ saysProcess: true, notes: [] });
    const silent = await stage({}, { says: { ...SAYS, entrypoint: [], environment: ['A=1'] } }).make('volume');
    expect(silent).not.toHaveProperty('saysProcess');
    expect(await stage({}, { says: { wrong: 'its Env is no list' } }).make('volume')).toMatchObject({
      ...{ saysProcess: true, notes: [expect.stringContaining('is not run: its Env is no list.')] },
    });
  });

  test('of an initrd knows whether it takes what is to run: a spec that names a program needs that', async () => {
    const initrd = { filename: 'initrd', path: '/t/initrd' };
    const ours = { initrd: { ...initrd, takesProcess: true as const } };
    const process = { args: ['ls'], environment: {}, user: '', directory: '' };
    expect(await stage(ours, { process }).make('initrd')).toMatchObject(ours);
    await expect(stage({ initrd }, { process }).make('initrd')).rejects.toMatchObject({
      ...{ kind: 'refused', reason: 'ProviderRefused', violations: [{ field: 'process' }] },
    });
    const { args: _, ...variables } = process;
    expect(await stage({ initrd }, { process: variables }).make('initrd')).toMatchObject({ initrd });
  });
});
