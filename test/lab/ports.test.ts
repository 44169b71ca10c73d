import { expect, test } from 'vitest';
import { Lines, Tail } from './ports.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

test('lines come whole and in order, whoever is first', async () => {
  const lines = new Lines();
  const first = lines.next();
  lines.write(bytes('u'));
  lines.write(bytes('p\nstatus 0\nhalf'));
  expect(await first).toBe('up');
  expect(await lines.next()).toBe('status 0');
  const last = lines.next();
  lines.write(bytes(' a line\n'));
  expect(await last).toBe('half a line');
});

test('of what is long the end is kept', () => {
  const tail = new Tail(4);
  tail.add(bytes('abc'));
  tail.add(bytes('defg'));
  expect(tail.text).toBe('defg');
});
