import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diskSerials } from './disk-serials.ts';

test.each([
  [
    ['root', 'data'],
    ['root', 'data'],
  ],
  [['a-data-disk-with-a-long-name'], ['a-data-disk-with-a-l']], // as it was: guests may know it by that
  [
    ['twenty-bytes-exactly', 'x'],
    ['twenty-bytes-exactly', 'x'],
  ],
])('%j has %j', (ids, serials) => expect(diskSerials(ids)).toEqual(serials));

test('two ids with the same first twenty bytes have serials of their own, the same at each start', () => {
  const ids = ['postgres-production-data', 'postgres-production-wal', 'root'];
  const serials = diskSerials(ids);
  expect(new Set(serials).size).toBe(3);
  for (const serial of serials.slice(0, 2)) expect(serial).toMatch(/^postgres-prod-[0-9a-z]{6}$/);
  expect(diskSerials(ids)).toEqual(serials);
});

test('an id that is whole keeps its name beside one that would be cut to it, and beside one that guesses', () => {
  const short = 'postgres-production-';
  expect(diskSerials(['postgres-production-wal', short])[1]).toBe(short);
  const [guess = ''] = diskSerials(['postgres-production-data', 'postgres-production-wal']);
  const all = diskSerials(['postgres-production-data', 'postgres-production-wal', guess]);
  expect(new Set(all).size).toBe(3);
  expect(all[2]).toBe(guess);
});

test('the disk of the metadata may have the id of a volume', () => {
  const all = diskSerials(['cidata', 'cidata']);
  expect(all[0]).toBe('cidata');
  expect(new Set(all).size).toBe(2);
});

test('whatever the ids: pairwise different, at most twenty bytes, never empty', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9][ab._-]{0,62}$/);
  fc.assert(
    fc.property(fc.array(id, { maxLength: 12 }), (ids) => {
      const serials = diskSerials(ids);
      expect(new Set(serials).size).toBe(ids.length);
      for (const serial of serials) {
        expect(serial.length).toBeGreaterThan(0);
        expect(Buffer.byteLength(serial)).toBeLessThanOrEqual(20);
      }
    }),
  );
});
