import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AGENT_FRAME, AgentDecoder, agentFrame, inputFrame, parseExit, parseInfo } from './agent-frames.ts';
import {
  dataFrames,
  FRAME,
  greeting,
  MARK_BYTES,
  MAX_PAYLOAD,
  PortDecoder,
  type PortNews,
  portFrame,
} from './port-frames.ts';

const MARK = Uint8Array.from({ length: MARK_BYTES }, (_, i) => i + 1);
const READY = Buffer.concat([Buffer.from('flintlock-ready\n'), MARK]);

/** Cuts bytes where the numbers say. */
function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 });
const cuts = fc.array(fc.nat(10_000), { maxLength: 30 });

test('frames of a port come out as they went in, wherever they are cut', () => {
  fc.assert(
    fc.property(payloads, cuts, fc.uint8Array({ maxLength: 100 }), fc.nat(3), (all, at, rubbish, more) => {
      // An answer to each greeting, of which there may have been several.
      const again = Array.from({ length: more }, () => READY);
      const bytes = Buffer.concat([
        rubbish,
        READY,
        ...again,
        ...all.map((data, i) => portFrame(MARK, FRAME.data, i + 1, data)),
      ]);
      const decoder = new PortDecoder(MARK);
      const news = cut(bytes, at).flatMap((piece) => [...decoder.push(piece)].map(copied));
      expect(news).toEqual([
        'ready',
        ...all.map((data, i) => ({ type: FRAME.data, stream: i + 1, payload: [...data] })),
      ]);
    }),
  );
});

test.for([1, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 3 * MAX_PAYLOAD, 100_000])(
  '%i bytes of a stream come out as they went in',
  (count) => {
    const bytes = Uint8Array.from({ length: count }, (_, i) => i % 251);
    const parts = [bytes.subarray(0, 5), bytes.subarray(5, 5), bytes.subarray(5)];
    // What was in the room before, and what is behind them, is no part of them.
    const sent = dataFrames({ mark: MARK, stream: 7, parts }, (size) => Buffer.alloc(size + 100, 'z'));
    const frames = [...new PortDecoder(MARK).push(Buffer.concat([READY, sent]))].slice(1);
    const payloads = frames.flatMap((one) => (typeof one === 'string' ? [] : [one]));
    expect(payloads.map(({ type, stream }) => [type, stream])).toEqual(
      Array.from({ length: Math.ceil(count / MAX_PAYLOAD) }, () => [FRAME.data, 7]),
    );
    expect(Buffer.concat(payloads.map(({ payload }) => payload)).equals(bytes)).toBe(true);
  },
);

test('an answer to another greeting is none, and an agent that begins is told of', () => {
  const decoder = new PortDecoder(MARK);
  const other = Uint8Array.from(MARK, (n) => n ^ 0xff);
  const old = Buffer.concat([Buffer.from('flintlock-ready\n'), other]);
  expect([...decoder.push(old), ...decoder.push(Buffer.from('flintlock-start\n'))]).toEqual(['started']);
  decoder.greetAgain(other);
  expect([...decoder.push(READY), ...decoder.push(old)]).toEqual(['ready']);
  expect([...decoder.push(Buffer.alloc(MAX_PAYLOAD))]).toEqual(['lost']);
});

test('a greeting ends whatever frame was begun', () => {
  expect(
    greeting(MARK)
      .subarray(0, MAX_PAYLOAD + 12)
      .every((byte) => byte === 0),
  ).toBe(true);
});

test('frames of an agent come out as they went in, wherever they are cut', () => {
  fc.assert(
    fc.property(payloads, cuts, (all, at) => {
      const exit = agentFrame(AGENT_FRAME.exit, Buffer.from('{"code":7}'));
      // A heartbeat, and what a newer agent sends, is passed over.
      const bytes = Buffer.concat([
        ...all.flatMap((data) => [agentFrame(AGENT_FRAME.stdout, data), agentFrame(8, data)]),
        exit,
      ]);
      const decoder = new AgentDecoder();
      const pieces = cut(bytes, at).flatMap((piece) => [...decoder.push(piece)]);
      const out = pieces.filter(({ type }) => type === AGENT_FRAME.stdout);
      expect(Buffer.concat(out.map(({ data }) => data))).toEqual(Buffer.concat(all));
      const last = pieces.at(-1);
      expect(last?.type).toBe(AGENT_FRAME.exit);
      expect(parseExit(last?.data ?? new Uint8Array())).toEqual({ code: 7, timedOut: false });
    }),
  );
});

test('100,000 malformed pieces end in a Fault or in nothing, and what is kept stays small', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { minLength: 90, maxLength: 110 }), (pieces) => {
      const decoder = new AgentDecoder();
      const port = new PortDecoder(MARK);
      try {
        for (const piece of pieces) {
          for (const { type, data } of decoder.push(piece))
            if (type === AGENT_FRAME.exit) parseExit(data);
            else parseInfo(data);
          void [...port.push(piece)];
        }
      } catch (error) {
        expect(error).toMatchObject({ name: 'Fault' });
      }
    }),
    { numRuns: 1_000 },
  );
});

test.each([
  ['an exit that is longer than any', [AGENT_FRAME.exit, 0x00, 0x02, 0, 0]],
  ['output that is longer than a frame may be', [AGENT_FRAME.stdout, 0x01, 0, 0, 1]],
])('%s is refused at its head', (_, head) => {
  expect(() => [...new AgentDecoder().push(Uint8Array.from(head))]).toThrow(/bytes, over/);
});

test('what an agent says of itself is one short line each', () => {
  const info = parseInfo(Buffer.from(JSON.stringify({ version: 'a\u001b[2J\nb', features: ['tty', 7], uname: 3 })));
  expect(info).toEqual({ version: 'a?[2J?b', uname: '', features: ['tty', ''] });
});

test('a terminal has a size that fits', () => {
  expect([...inputFrame({ is: 'resize', rows: 50, columns: 70_000 })].slice(5)).toEqual([0, 50, 0xff, 0xff]);
});

const copied = (news: PortNews) => (typeof news === 'string' ? news : { ...news, payload: [...news.payload] });
