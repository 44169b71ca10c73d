import { expect, test } from 'vitest';
import { eventually } from '../../test/support/fake-clock.ts';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import type { ChannelInput } from '../ports/channel.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** A guest that runs, and a console that takes what is typed when it is told to. */
async function setUp({ deaf = false } = {}) {
  const typed: string[] = [];
  let closed = 0;
  const input: ChannelInput = {
    write: (data) => {
      typed.push(Buffer.from(data).toString());
      return deaf ? new Promise(() => undefined) : Promise.resolve();
    },
    closed: new Promise(() => undefined),
    close: () => void closed++,
  };
  const files = { ...fakeFiles({}), stat: async () => undefined }; // it has written nothing yet
  const host = new FakeHost({ context: { joinConsole: async () => input, files } });
  const uid = await host.create();
  const abort = new AbortController();
  const attach = async (pieces: AsyncIterable<Uint8Array>): Promise<string> => {
    let text = '';
    for await (const data of host.life.services.attachConsole({ uid, tailBytes: 0 }, pieces, abort.signal))
      text += Buffer.from(data).toString();
    return text;
  };
  const end = (): void => host.world.kill(host.world.vmmsOf(uid)[0] ?? -1, { reason: 'GuestShutdown', message: 'off' });
  return { host, uid, abort, attach, end, typed, closed: () => closed };
}

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield bytes(text);
}

test('what is sent is typed in order, its end ends nothing, and the end of the run does', async () => {
  const { host, uid, attach, end, typed, closed } = await setUp();
  await host.until(uid, 'CREATED');
  const attached = attach(pieces('ls\r', '', '\x03'));
  await eventually('all is typed', () => typed.length === 2);
  expect(typed).toEqual(['ls\r', '\x03']);
  expect(closed()).toBe(0);
  end();
  await attached;
  expect(closed()).toBe(1);
});

test('no more is read than the guest takes', async () => {
  const { host, uid, attach, abort, typed, closed } = await setUp({ deaf: true });
  await host.until(uid, 'CREATED');
  let asked = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      asked++;
      yield bytes('x');
    }
  }
  const attached = attach(endless());
  await eventually('one piece is on its way', () => typed.length === 1);
  abort.abort(new Error('left'));
  await expect(attached).rejects.toThrow('left');
  expect({ asked, typed: typed.length, closed: closed() }).toEqual({ asked: 1, typed: 1, closed: 1 });
});

test('a piece that is too large is refused, and ends the call', async () => {
  const { host, uid, attach, closed } = await setUp();
  await host.until(uid, 'CREATED');
  await expect(attach(pieces('x'.repeat((64 << 10) + 1)))).rejects.toThrow(/data: has 65537 bytes: at most 65536/);
  expect(closed()).toBe(1);
});

test('a machine whose console cannot be typed on is not typed on', async () => {
  const { host, uid, attach, typed } = await setUp();
  await host.until(uid, 'CREATED');
  const [vmm] = host.life.context.vmms;
  if (!vmm) throw new Error('no VMM');
  Object.assign(vmm, { capabilities: { ...vmm.capabilities, consoleInput: false } });
  await expect(attach(pieces('x'))).rejects.toThrow(/of The fake machine cannot be typed on/);
  expect(typed).toEqual([]);
});

test('what does not run cannot be typed on', async () => {
  const { host, uid, attach, end } = await setUp();
  await host.until(uid, 'CREATED');
  end();
  await host.until(uid, 'STOPPED');
  await expect(attach(pieces('x'))).rejects.toThrow(/Cannot attach to the console of microVM .*: it is STOPPED/);
});
