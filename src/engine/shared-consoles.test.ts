import { expect, test } from 'vitest';
import type { Uid } from '../domain/microvm.ts';
import type { Channel } from '../ports/channel.ts';
import { SharedConsoles } from './shared-consoles.ts';

const A = 'A' as Uid;

/** Consoles that remember what was typed, and whether they are open. */
function consoles(fails = false) {
  const opened: { uid: Uid; typed: string[]; open: boolean; cut: () => void }[] = [];
  const shared = new SharedConsoles(async (uid) => {
    if (fails) throw new Error('no such console');
    // It has one owner.
    expect(opened.filter((other) => other.open && other.uid === uid)).toEqual([]);
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    const cut = (): void => {
      one.open = false;
      resolve();
    };
    const one = { uid, typed: [] as string[], open: true, cut };
    opened.push(one);
    const input: Channel = {
      read: async function* () {},
      write: async (bytes) => void one.typed.push(Buffer.from(bytes).toString()),
      closed,
      close: () => {
        one.open = false;
        resolve();
      },
    };
    return input;
  });
  return { opened, shared };
}

test('all type on one connection, and the last to leave closes it', async () => {
  const { opened, shared } = consoles();
  const [first, second] = await Promise.all([shared.join(A), shared.join(A)]);
  await first.write(Buffer.from('one'));
  await second.write(Buffer.from('two'));
  first.close();
  first.close(); // once is enough
  expect(opened).toMatchObject([{ typed: ['one', 'two'], open: true }]);
  second.close();
  await second.closed;
  expect(opened).toMatchObject([{ open: false }]);
});

test('each microVM has its own', async () => {
  const { opened, shared } = consoles();
  await shared.join(A);
  await shared.join('B' as Uid);
  expect(opened).toHaveLength(2);
});

test('one that was left or cut off is opened anew for the next user', async () => {
  const { opened, shared } = consoles();
  (await shared.join(A)).close();
  const stale = await shared.join(A);
  opened[1]?.cut();
  await stale.closed;
  const fresh = await shared.join(A);
  stale.close(); // and does not take the new one away
  await fresh.write(Buffer.from('x'));
  expect(opened).toMatchObject([{ open: false }, { open: false }, { typed: ['x'], open: true }]);
});

test('one that does not open is told to all who wait, and tried again', async () => {
  const { shared } = consoles(true);
  const both = await Promise.allSettled([shared.join(A), shared.join(A)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(shared.join(A)).rejects.toThrow('no such console');
});
