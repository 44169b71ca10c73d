import { expect, test } from 'vitest';
import { Fault, type Violation } from '../domain/fault.ts';
import type { Spec } from '../domain/spec.ts';
import type { BootFilesFound, BootWants } from '../ports/images.ts';
import { planBoot } from './plan-boot.ts';

const spec = (change: Partial<Spec> = {}): Spec =>
  ({
    kernel: { image: 'k', cmdline: '', addNetworkConfig: false },
    initrd: { image: 'i', filename: 'initrd' },
    provider: '',
    volumes: [],
    interfaces: [],
    metadata: {},
    ...change,
  }) as unknown as Spec;

const FOUND: Readonly<Record<string, BootFilesFound>> = {
  k: { kernel: { filename: 'vmlinuz', path: '/k', release: '6.1', facts: { release: '6.1', parts: [] } } },
  g: { kernel: { filename: 'vmlinux', path: '/g', facts: { release: '5.10', parts: [], readsGpt: false } } },
  i: { initrd: { filename: 'initrd', path: '/i', packed: 'xz' } },
};

function stage(cached: readonly string[], wrong: readonly Violation[] = [], fault?: Fault) {
  const asked: [image: string, wants: BootWants][] = [];
  const vmm = {
    name: 'qemu',
    check: () => wrong,
    remarks: () => ({ chosen: ['No ACPI.'], warnings: ['No disk.'] }),
  };
  const context = {
    images: {
      cached: async (reference: string) => (cached.includes(reference) ? { digest: reference, tree: '/' } : undefined),
      bootFiles: async ({ digest }: { digest: string }, wants: BootWants, options: { dry?: true }) => {
        expect(options.dry).toBe(true);
        asked.push([digest, wants]);
        if (fault) throw fault;
        return FOUND[digest] ?? {};
      },
    },
    vmms: [vmm],
    network: undefined,
    patience: 1,
  } as unknown as Parameters<typeof planBoot>[0];
  return { plan: (of = spec()) => planBoot(context, of, 'qemu'), asked };
}

test('of images that are here a dry run says what would be booted, and on what', async () => {
  const { plan, asked } = stage(['k', 'i']);
  expect(await plan()).toEqual([
    'kernel: vmlinuz (6.1) of k',
    'initrd: initrd of i',
    'note: Initrd initrd is packed with xz, and the kernel does not unpack that (CONFIG_RD_XZ).',
    'note: No ACPI.',
    'warning: No disk.',
  ]);
  expect(asked).toEqual([
    ['k', { kernel: {} }],
    ['i', { initrd: { filename: 'initrd', releases: ['6.1'] } }],
  ]);
});

test('of one image both are found together', async () => {
  const { plan, asked } = stage(['k']);
  await plan(spec({ initrd: { image: 'k' } }));
  expect(asked).toEqual([['k', { kernel: {}, initrd: {} }]]);
});

test('of images that are not here nothing is said', async () => {
  expect(await stage([]).plan()).toEqual([]);
  expect(await stage(['i']).plan()).toEqual(['initrd: initrd of i']);
});

test('what cannot be is refused', async () => {
  const wrong = [{ field: 'volumes', description: 'are too many' }];
  await expect(stage(['k'], wrong).plan()).rejects.toMatchObject({ kind: 'invalid', violations: wrong });
  const notFound = async (
    reason: 'KernelNotFound' | 'InitrdNotFound' | 'ImageNotFound',
    cached: string[],
    of = spec(),
  ) =>
    stage(cached, [], new Fault('not_found', 'none', { reason }))
      .plan(of)
      .catch((error: Fault) => [error.kind, error.violations[0]?.field, error.violations[0]?.description]);
  expect(await notFound('KernelNotFound', ['k'])).toEqual(['invalid', 'kernel.image', 'none']);
  expect(await notFound('InitrdNotFound', ['i'])).toEqual(['invalid', 'initrd.filename', 'none']);
  expect(await notFound('InitrdNotFound', ['k'], spec({ initrd: { image: 'k' } }))).toEqual([
    'invalid',
    'initrd.image',
    'none',
  ]);
  expect(await notFound('ImageNotFound', ['i'])).toEqual(['invalid', 'initrd.image', 'none']);
  const full = new Fault('full', 'no room');
  await expect(stage(['k'], [], full).plan()).rejects.toBe(full);
});

test('a partition that the kernel will not find is warned of', async () => {
  const { plan } = stage(['k', 'i', 'g']);
  const volumes = [{ id: 'root', image: 'r', isRoot: true, isReadOnly: false, partitionId: 'p' }];
  const [, ...lines] = await plan(spec({ volumes: volumes as unknown as Spec['volumes'] }));
  expect(lines).not.toContainEqual(expect.stringContaining('GPT'));
  const blind = { image: 'g', cmdline: '', addNetworkConfig: false };
  expect(await plan(spec({ kernel: blind, volumes: volumes as unknown as Spec['volumes'] }))).toContainEqual(
    expect.stringMatching(/^warning: Volume root has a partition_id, and the kernel reads no GPT/),
  );
});
