import { describe, expect, test } from 'vitest';
import { eventually, turn } from '../../test/support/fake-clock.ts';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import { CONSOLE_KEEP_BYTES } from '../domain/console-sizes.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Files } from '../ports/host.ts';

/** A console's file that a test writes: it only grows, and its beginning may be freed. */
class Console {
  #data = new Uint8Array();
  #freed = 0;
  readonly watchers = new Set<() => void>();
  exists = true;

  write(text: string): void {
    this.#data = Buffer.concat([this.#data, Buffer.from(text)]);
    for (const changed of this.watchers) changed();
  }

  free(bytes: number): void {
    this.#freed = bytes;
  }

  readonly files: Files = {
    ...fakeFiles({}),
    stat: async () =>
      this.exists
        ? { kind: 'file', sizeBytes: this.#data.length, diskBytes: this.#data.length - this.#freed, mode: 0o600 }
        : undefined,
    read: async (_path, { offset = 0, maxBytes = Number.POSITIVE_INFINITY } = {}) => {
      if (offset < this.#freed) throw new Error(`read at ${offset}, freed up to ${this.#freed}`);
      return this.exists ? this.#data.slice(offset, Math.min(offset + maxBytes, this.#data.length)) : undefined;
    },
    watch: (_path, changed) => {
      this.watchers.add(changed);
      return () => this.watchers.delete(changed);
    },
  };
}

async function setUp() {
  const console_ = new Console();
  const host = new FakeHost({ context: { files: console_.files } });
  const uid = await host.create();
  await host.until(uid, 'CREATED');
  const abort = new AbortController();
  let text = '';
  const read = (options: { follow?: boolean; tailBytes?: number } = {}): Promise<void> =>
    (async () => {
      const request = { uid, follow: false, tailBytes: 0, ...options };
      for await (const data of host.life.services.readConsole(request, abort.signal))
        text += Buffer.from(data).toString();
    })();
  const end = (): void => host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestShutdown', message: 'off' });
  // The daemon itself reads what the guest says of itself.
  const own = console_.watchers.size;
  const readers = (): number => console_.watchers.size - own;
  return { console_, host, uid, abort, read, end, readers, text: () => text };
}
const many = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await turn();
};

describe('what was recorded', () => {
  test('is read whole, and ends', async () => {
    const { console_, read, readers, text } = await setUp();
    console_.write('x'.repeat(200_000));
    await read();
    expect(text()).toHaveLength(200_000);
    expect(readers()).toBe(0);
  });

  test('is read from its last bytes', async () => {
    const { console_, read, text } = await setUp();
    console_.write('booting\nlogin: ');
    await read({ tailBytes: 7 });
    expect(text()).toBe('login: ');
  });

  test('is read as far as it is kept, however much is asked for', async () => {
    const { console_, read, text } = await setUp();
    console_.write('x'.repeat(2 * CONSOLE_KEEP_BYTES));
    console_.free(CONSOLE_KEEP_BYTES);
    await read({ tailBytes: 10 * CONSOLE_KEEP_BYTES });
    expect(text()).toHaveLength(CONSOLE_KEEP_BYTES);
  });

  test('is nothing where there is no file yet', async () => {
    const { console_, read, text } = await setUp();
    console_.exists = false;
    await read();
    expect(text()).toBe('');
  });

  test('of what never was is not found, and of a negative tail refused', async () => {
    const { host, uid } = await setUp();
    const signal = new AbortController().signal;
    const first = (one: string, tailBytes: number) =>
      host.life.services.readConsole({ uid: one, follow: false, tailBytes }, signal)[Symbol.asyncIterator]().next();
    await expect(first('x' as Uid, 0)).rejects.toMatchObject({ kind: 'not_found' });
    await expect(first(uid, -1)).rejects.toMatchObject({ kind: 'invalid', violations: [{ field: 'tail_bytes' }] });
  });
});

describe('following', () => {
  test('goes on with what is written, to the end of the run', async () => {
    const { console_, read, text, end, host, uid } = await setUp();
    console_.write('one ');
    const ended = read({ follow: true });
    await eventually('the first is read', () => text() === 'one ');
    console_.write('two ');
    await eventually('the second is read', () => text() === 'one two ');
    console_.write('three');
    end();
    await ended;
    expect(text()).toBe('one two three');
    await host.until(uid, 'STOPPED');
    expect(console_.watchers.size).toBe(0);
  });

  test('begins before there is a file', async () => {
    const { console_, read, text, end, host, uid } = await setUp();
    console_.exists = false;
    const ended = read({ follow: true });
    await many();
    console_.exists = true;
    console_.write('hello');
    host.life.store.update(uid, (vm) => ({ ...vm, retry: 1 })); // as when its VMM was started
    await eventually('it is read', () => text() === 'hello');
    end();
    await ended;
  });

  test('goes on where the bytes are when its beginning was freed meanwhile', async () => {
    const { console_, read, text, end } = await setUp();
    console_.write('a');
    const ended = read({ follow: true });
    await eventually('the first is read', () => text() === 'a');
    console_.write('b'.repeat(3 * CONSOLE_KEEP_BYTES));
    console_.free(2 * CONSOLE_KEEP_BYTES);
    end();
    await ended;
    expect(text()).toBe(`a${'b'.repeat(CONSOLE_KEEP_BYTES)}`);
  });

  test('ends when the microVM is gone', async () => {
    const { console_, read, host, uid } = await setUp();
    console_.write('a');
    const ended = read({ follow: true });
    await many();
    console_.exists = false;
    await host.delete(uid);
    await ended;
    expect(console_.watchers.size).toBe(0);
  });

  test('ends with its signal, and lets go of the file', async () => {
    const { console_, read, readers, abort } = await setUp();
    console_.write('a');
    const ended = read({ follow: true });
    await many();
    expect(readers()).toBe(1);
    abort.abort(new Error('the caller left'));
    await expect(ended).rejects.toThrow('the caller left');
    expect(readers()).toBe(0);
  });
});
