import { expect, onTestFinished, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import type { Channel } from '../ports/channel.ts';
import { FRAME, greeting, hello, MARK_BYTES, portFrame } from './port-frames.ts';
import { PortSession } from './port-session.ts';
import { SpareBuffers } from './spare-buffers.ts';

const MARK = Uint8Array.from({ length: MARK_BYTES }, (_, i) => i + 1);
const READY = Buffer.concat([Buffer.from('flintlock-ready\n'), MARK]);

/** A guest's end of a port: what it was told, and what it says. */
function port() {
  const told: Buffer[] = [];
  const said: Uint8Array[] = [];
  let wake = (): void => undefined;
  let isRead = true;
  let onRead = (): void => undefined;
  const channel: Channel = {
    write: async (bytes) => {
      told.push(Buffer.from(bytes));
      if (!isRead) await new Promise<void>((resolve) => (onRead = resolve));
    },
    async *read(signal) {
      signal.addEventListener('abort', () => wake());
      while (!signal.aborted) {
        const next = said.shift();
        if (next) yield next;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    closed: new Promise(() => undefined),
    close: () => wake(),
  };
  return {
    channel,
    told,
    say: (bytes: Uint8Array) => {
      said.push(bytes);
      wake();
    },
    readsNothing: () => {
      isRead = false;
    },
    reads: () => {
      isRead = true;
      onRead();
    },
  };
}

function meet() {
  const clock = new FakeClock();
  const guest = port();
  const session = new PortSession(guest.channel, {
    clock,
    isRunning: () => true,
    randomBytes: () => Uint8Array.from(MARK),
    spare: new SpareBuffers(),
  });
  onTestFinished(() => session.close());
  return { clock, guest, session };
}

/** Whatever was written by then has been. */
const settled = () => new Promise((done) => setImmediate(done));

test('a greeting that nobody answers is said again, shorter and less often, and both answers are one', async () => {
  const { clock, guest, session } = meet();
  await settled();
  expect(guest.told.splice(0)).toEqual([greeting(MARK)]);
  for (const ms of [1_000, 2_000, 4_000]) {
    clock.advance(ms - 1);
    await settled();
    expect(guest.told).toEqual([]);
    clock.advance(1);
    await settled();
    expect(guest.told.splice(0)).toEqual([hello(MARK)]);
  }
  guest.say(READY);
  await session.ready;
  const stream = session.open(1024);
  guest.say(Buffer.concat([READY, READY, portFrame(MARK, FRAME.data, 1, Buffer.from('a'))]));
  const read = await stream.read().next();
  expect(Buffer.from(read.value ?? []).toString()).toBe('a');
  guest.told.length = 0;
  clock.advance(9_000);
  await settled();
  expect(guest.told.filter((one) => one.includes('hello'))).toEqual([]);
});

test('a stream that both sides have ended is not cut off: what was sent last may not be read yet', async () => {
  const { guest, session } = meet();
  guest.say(READY);
  await session.ready;
  for (const [id, isEnded] of [
    [1, true],
    [2, false],
  ] as const) {
    const stream = session.open(1024);
    const reading = stream.read().next();
    guest.say(portFrame(MARK, FRAME.end, id, new Uint8Array()));
    await reading;
    await stream.write(Buffer.from('late'));
    if (isEnded) stream.end();
    stream.close();
    const types = guest.told.filter(
      (one) => one.subarray(0, 4).equals(MARK.subarray(0, 4)) && one.readUInt32BE(8) === id,
    );
    expect(types.map((one) => one[4])).toEqual([FRAME.open, FRAME.data, isEnded ? FRAME.end : FRAME.reset]);
  }
});

test('an agent that has answered and ended a stream is told nothing more of it; one that has not ended it is', async () => {
  const { guest, session } = meet();
  guest.say(READY);
  await session.ready;
  for (const [id, hasEnded] of [
    [1, true],
    [2, false],
  ] as const) {
    const stream = session.open(1024);
    const reading = stream.read().next();
    guest.say(portFrame(MARK, hasEnded ? FRAME.end : FRAME.data, id, Buffer.from(hasEnded ? '' : 'x')));
    await reading;
    guest.told.length = 0;
    stream.close(true);
    await settled();
    const types = guest.told.map((one) => one[4]);
    expect(types).toEqual(hasEnded ? [] : [FRAME.reset]);
    expect(() => guest.say(portFrame(MARK, FRAME.data, id, Buffer.from('late')))).not.toThrow();
  }
});

test('what is on its way is not written over by what is sent after it, and the room of what has arrived is used again', async () => {
  const { guest, session } = meet();
  guest.say(READY);
  await session.ready;
  const under: { bytes: Uint8Array; arrive(): void }[] = [];
  guest.channel.write = (bytes) => new Promise((arrive) => under.push({ bytes, arrive }));
  const streams = [session.open(1024), session.open(1024)];
  under.length = 0;
  const letters = (n: number): string =>
    Buffer.from(under[n]?.bytes ?? [])
      .subarray(12)
      .toString();
  const first = streams[0]?.write(Buffer.from('a'), Buffer.alloc(9_000, 'a'));
  const second = streams[1]?.write(Buffer.alloc(9_000, 'b'));
  expect([letters(0), letters(1)]).toEqual(['a'.repeat(9_001), 'b'.repeat(9_000)]);
  under[0]?.arrive();
  await first;
  const third = streams[0]?.write(Buffer.alloc(5_000, 'c'));
  expect([letters(1), letters(2)]).toEqual(['b'.repeat(9_000), 'c'.repeat(5_000)]);
  expect(under[2]?.bytes.buffer).toBe(under[0]?.bytes.buffer);
  under[1]?.arrive();
  under[2]?.arrive();
  await Promise.all([second, third]);
});

test('where nobody reads what was said nothing more is said', async () => {
  const { clock, guest } = meet();
  guest.readsNothing();
  await settled();
  clock.advance(1_000);
  await settled();
  clock.advance(600_000);
  await settled();
  expect(guest.told).toHaveLength(2);
  guest.reads();
  await settled();
  clock.advance(2_000);
  await settled();
  expect(guest.told).toHaveLength(3);
});
