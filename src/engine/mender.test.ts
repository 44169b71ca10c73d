import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Flaw } from '../ports/network-watch.ts';
import { Mender } from './mender.ts';

const signal = new AbortController().signal;

test('what nothing here sets right is told for as long as it lasts, said once, and nothing is made again for it', async () => {
  const log = memoryLog();
  const mender = new Mender({ what: 'the network', where: {}, clock: new FakeClock(), log });
  const lasting: Flaw = { thing: 'route', what: 'a route is in the way', isLasting: true };
  let flaws: readonly Flaw[] = [lasting];
  let made = 0;
  const look = (): Promise<readonly Flaw[]> =>
    mender.look(
      async () => flaws,
      async () => {
        made++;
        flaws = [lasting];
      },
      signal,
    );
  expect(await look()).toEqual([lasting]);
  expect(await look()).toEqual([lasting]);
  expect([made, log.lines.length]).toEqual([0, 1]);
  // Beside it others are mended.
  flaws = [lasting, { thing: 'table', what: 'a table is gone' }];
  expect(await look()).toEqual([lasting]);
  expect([made, log.lines.at(-1)?.message]).toEqual([1, 'the network is mended']);
  flaws = [];
  expect(await look()).toEqual([]);
  flaws = [lasting];
  await look();
  expect(log.lines.filter(({ message }) => message.includes('cannot be mended'))).toHaveLength(2);
});
