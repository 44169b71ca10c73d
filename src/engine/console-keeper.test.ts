import { expect, test } from 'vitest';
import { eventually, FakeClock, turn } from '../../test/support/fake-clock.ts';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { CONSOLE_KEEP_BYTES } from '../domain/console-sizes.ts';
import type { Uid } from '../domain/microvm.ts';
import { type ConsoleKeeperDeps, keepConsoles } from './console-keeper.ts';

const uids = ['a', 'b', 'c'] as unknown as readonly Uid[];

function setUp(changes: Partial<ConsoleKeeperDeps>, sizes: Readonly<Record<string, number>>) {
  const clock = new FakeClock();
  const log = memoryLog();
  const punched: string[] = [];
  const files: ConsoleKeeperDeps['files'] = {
    ...fakeFiles({}),
    stat: async (path) => {
      const bytes = sizes[path];
      return bytes === undefined ? undefined : { kind: 'file', sizeBytes: bytes, diskBytes: bytes, mode: 0o600 };
    },
    punch: async (path, bytes) => void punched.push(`${path} ${bytes}`),
  };
  const stop = keepConsoles({ files, clock, log, running: () => uids, consolePath: (uid) => `/${uid}`, ...changes });
  return { clock, log, punched, stop };
}

test('frees the beginning of a console that grew, and of no other', async () => {
  const big = 5 * CONSOLE_KEEP_BYTES + 7;
  const { clock, punched, stop } = setUp({}, { '/a': CONSOLE_KEEP_BYTES, '/b': big });
  expect(punched).toEqual([]);
  clock.advance(5_000);
  await eventually('it is freed', () => punched.length > 0);
  expect(punched).toEqual([`/b ${big - CONSOLE_KEEP_BYTES}`]);
  await eventually('it looks again', () => clock.waiting === 1);
  stop();
  expect(clock.waiting).toBe(0);
});

test('one whose path cannot be told stops no other, nor the looks', async () => {
  const big = 5 * CONSOLE_KEEP_BYTES;
  const { clock, punched, log, stop } = setUp(
    {
      consolePath: (uid) => {
        if (uid === 'a') throw new Error('no such provider');
        return `/${uid}`;
      },
    },
    { '/b': big },
  );
  clock.advance(5_000);
  await eventually('the other is freed', () => punched.length > 0);
  await eventually('it looks again', () => clock.waiting === 1);
  expect(log.lines).toMatchObject([{ level: 'warn', fields: { uid: 'a' } }]);
  stop();
});

test('a stop during a look leaves no timer', async () => {
  const { clock, stop } = setUp({}, {});
  clock.advance(5_000);
  stop();
  for (let i = 0; i < 10; i++) await turn();
  expect(clock.waiting).toBe(0);
});
