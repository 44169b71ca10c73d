import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventParser } from './events.ts';

const event = (source: string, name: string, properties: object | null = null): string =>
  `${JSON.stringify({ timestamp: { secs: 1, nanos: 2 }, source, event: name, properties }, null, 2)}\n\n`;
const read = (...pieces: string[]) => {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.add(Buffer.from(piece))).map(({ what }) => what);
};

test('events are read as they come, in whatever pieces', () => {
  const text = event('vm', 'booting') + event('virtio-device', 'reset', { id: '_disk0' }) + event('vm', 'booted');
  const all = ['vm booting', 'virtio-device reset', 'vm booted'];
  expect(read(text)).toEqual(all);
  expect(read(...text)).toEqual(all);
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), text.length];
      expect(read(...at.map((from, i) => text.slice(from, at[i + 1])))).toEqual(all);
    }),
  );
});

test('their properties are told, and none are an empty object', () => {
  const [panic, booted] = new EventParser().add(
    Buffer.from(event('guest', 'panic', { event: 'panic' }) + event('vm', 'booted')),
  );
  expect(panic).toEqual({ what: 'guest panic', properties: { event: 'panic' } });
  expect(booted?.properties).toEqual({});
});

test('what is no event is passed over, and the next one is read', () => {
  const good = event('vm', 'booted');
  const others = [
    '\0'.repeat(5_000),
    '{\n  "source": "vm",\n', // cut off
    '{\n"source": 7,\n"event": "x"\n}\n',
    '[\n]\n{\n}\n{\n  nonsense\n}\n',
    `{\n  "event": "${'x'.repeat(20_000)}"\n}\n`,
    `{\n${'"a": 1,\n'.repeat(5_000)}}\n`,
  ];
  for (const other of others) expect(read(`${other}\n${good}`)).toEqual(['vm booted']);
  expect(read(`${'y'.repeat(1 << 20)}\n${good}`)).toEqual(['vm booted']);
});

test('whatever is written, it is read without end and without harm', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' }), { maxLength: 5 }), (pieces) => {
      expect(read(...pieces).length).toBeGreaterThanOrEqual(0);
    }),
  );
});
