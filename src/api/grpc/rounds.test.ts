import { expect, test } from 'vitest';
import { Rounds } from './rounds.ts';

const setUp = (remoteWindowSize = 0) => {
  const session = { state: { remoteWindowSize }, destroyed: false };
  return { session, rounds: new Rounds(session) };
};

/** Whether it may send now. */
async function may(rounds: Rounds, call: object): Promise<boolean> {
  let is = false;
  void rounds.take(call).then(() => {
    is = true;
  });
  await new Promise(setImmediate);
  return is;
}

test('one alone never waits', async () => {
  const { rounds } = setUp();
  const list = {};
  for (let i = 0; i < 3; i++) {
    expect(await may(rounds, list)).toBe(true);
    rounds.gone(list);
  }
});

test('who has sent waits for the pieces of the others; who comes is in the round', async () => {
  const { rounds } = setUp();
  const [list, other, get] = [{}, {}, {}];
  expect([await may(rounds, list), await may(rounds, other)]).toEqual([true, true]);
  rounds.gone(list);
  const next = may(rounds, list);
  expect([await next, await may(rounds, get)]).toEqual([false, true]);
  rounds.gone(other);
  const again = rounds.take(list);
  rounds.gone(get);
  await again;
});

test('nobody waits for one that stands still by its own doing, and not for ever for the connection', async () => {
  const { session, rounds } = setUp();
  const [stalled, list] = [{}, {}];
  await rounds.take(stalled);
  await rounds.take(list);
  rounds.gone(list);
  session.state.remoteWindowSize = 65_535; // there is room: it is not the connection's
  await rounds.take(list);
  session.state.remoteWindowSize = 0;
  rounds.gone(list);
  // It is not waited for again: it has no piece in this round.
  expect(await may(rounds, list)).toBe(true);
  await rounds.take({});
  rounds.gone(list);
  await rounds.take(list); // after a second
});
