import fc from 'fast-check';
import { expect, test } from 'vitest';
import { elf } from '../../../test/support/boot-bytes.ts';
import { bytesIn } from './bytes.ts';
import { type Elf, readElf } from './elf.ts';
import { type Fit, planFit, writeFit } from './fit.ts';
import { STUB_MEMORY_BYTES } from './pvh-stub.ts';

const signal = new AbortController().signal;
const MB = 2 ** 20;

async function read(bytes: Uint8Array): Promise<Elf> {
  const found = await readElf(bytesIn(bytes));
  if ('wrong' in found) throw new Error(found.wrong);
  return found;
}
async function plan(bytes: Uint8Array): Promise<Fit> {
  const fit = planFit(await read(bytes));
  if ('wrong' in fit) throw new Error(fit.wrong);
  return fit;
}
async function fitted(bytes: Uint8Array): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeFit(await plan(bytes), bytesIn(bytes), signal)) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('the new file loads what the old one did, and the stub, which PVH enters', async () => {
  const segments = [
    { address: 16 * MB, data: 'text', memoryBytes: 0x5000 },
    { address: 17 * MB + 0x123, data: 'x'.repeat(5000), memoryBytes: 9000 },
    { address: 19 * MB, data: '', memoryBytes: 64 },
  ];
  const old = elf({ segments, entry: 16 * MB + 2 });
  const bytes = await fitted(old);
  expect(bytes.length).toBe((await plan(old)).sizeBytes);
  const found = await read(bytes);
  expect(found).toMatchObject({ entry: 16 * MB + 2, pvhEntry: MB });
  const [stub, ...rest] = found.segments;
  expect(stub).toMatchObject({ address: MB, memoryBytes: STUB_MEMORY_BYTES });
  expect(bytes.readBigUInt64LE((stub?.offset ?? 0) + 0x1a0)).toBe(BigInt(16 * MB + 2));
  expect(
    rest.map((one) => ({
      address: one.address,
      memoryBytes: one.memoryBytes,
      data: bytes.toString('latin1', one.offset, one.offset + one.fileBytes),
    })),
  ).toEqual(segments);
});

test('a kernel that lies at the usual place leaves another', async () => {
  const at = async (...addresses: readonly number[]): Promise<number> =>
    (
      await plan(
        elf({ entry: addresses[0] ?? 0, segments: addresses.map((address) => ({ address, memoryBytes: 0x2000 })) }),
      )
    ).address;
  expect(await at(16 * MB)).toBe(MB);
  expect(await at(MB)).toBe(MB + 0x2000);
  expect(await at(MB + STUB_MEMORY_BYTES - 1)).toBe(MB + STUB_MEMORY_BYTES + 0x2000);
  expect(await at(MB, MB + 0x3000)).toBe(MB + 0x5000);
  expect(await at(0, 16 * MB)).toBe(MB);
});

test('one that leaves none is told', async () => {
  const whole = elf({ entry: MB, segments: [{ address: MB, memoryBytes: 3 * 2 ** 30 - MB }] });
  expect(planFit(await read(whole))).toEqual({
    wrong: expect.stringContaining('no room for an entry point below 3 GiB'),
  });
  const entryless = elf({ entry: 0x9000_0000 });
  expect(planFit(await read(entryless))).toEqual({ wrong: expect.stringContaining('no entry') });
});

test('a kernel that became shorter meanwhile is no kernel', async () => {
  const old = elf({ segments: [{ address: 16 * MB, data: 'x'.repeat(5000), memoryBytes: 9000 }], entry: 16 * MB });
  const fit = await plan(old);
  const pieces = async (): Promise<void> => {
    for await (const _ of writeFit(fit, bytesIn(old.subarray(0, 3000)), signal));
  };
  await expect(pieces()).rejects.toThrow('ends within a segment');
});

test('whatever the segments are, the stub meets none of them and the file is as large as was said', async () => {
  const segment = fc.record({
    address: fc.nat(64).map((at) => at * 0x1800 + MB),
    memoryBytes: fc.integer({ min: 1, max: 0x4000 }),
    data: fc.string({ unit: 'binary-ascii', maxLength: 40 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(segment, { minLength: 1, maxLength: 6 }), async (segments) => {
      const old = elf({ segments, entry: segments[0]?.address ?? 0 });
      const found = await readElf(bytesIn(old));
      if ('wrong' in found) return;
      const fit = planFit(found);
      if ('wrong' in fit) return;
      for (const { address, memoryBytes } of found.segments)
        expect(fit.address + STUB_MEMORY_BYTES <= address || address + memoryBytes <= fit.address).toBe(true);
      const bytes = await fitted(old);
      expect(bytes.length).toBe(fit.sizeBytes);
      expect((await read(bytes)).pvhEntry).toBe(fit.address);
    }),
    { numRuns: 200 },
  );
});
