import { expect, test } from 'vitest';
import type { Channel } from '../../ports/channel.ts';
import { OwnedChannels } from './owned-channels.ts';

function channel(): Channel & { cut(): void } {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  return {
    read: async function* () {
      yield Buffer.from('hello');
    },
    write: async () => undefined,
    closed,
    close: () => resolve(),
    cut: () => resolve(),
  };
}

test('a channel has one owner, until that closes it', async () => {
  const channels = new OwnedChannels();
  const open = () => channels.open('U1', 'console', async () => channel());
  const first = await open();
  await expect(open()).rejects.toMatchObject({ kind: 'conflict' });
  await channels.open('U2', 'console', async () => channel()); // another's is another
  first.close();
  const second = await open(); // at once
  first.close(); // and takes the new one from nobody
  await expect(open()).rejects.toMatchObject({ kind: 'conflict' });
  second.close();
});

test('one that is being opened has its owner already, and one that did not open has none', async () => {
  const channels = new OwnedChannels();
  const { promise, reject } = Promise.withResolvers<Channel>();
  const failing = channels.open('U1', 'console', () => promise);
  await expect(channels.open('U1', 'console', async () => channel())).rejects.toMatchObject({ kind: 'conflict' });
  reject(new Error('no such socket'));
  await expect(failing).rejects.toThrow('no such socket');
  await channels.open('U1', 'console', async () => channel());
});

test('one that the VMM has closed is free', async () => {
  const channels = new OwnedChannels();
  const cut = channel();
  const first = await channels.open('U1', 'console', async () => cut);
  cut.cut();
  await first.closed;
  await channels.open('U1', 'console', async () => channel());
});
