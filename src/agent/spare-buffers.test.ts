import { expect, test } from 'vitest';
import { SpareBuffers } from './spare-buffers.ts';

test('what was sent leaves its room to the next, and is never two at once', () => {
  const spare = new SpareBuffers();
  const [one, two] = [spare.take(40_000), spare.take(40_000)];
  expect(one.buffer).not.toBe(two.buffer);
  spare.keep(one.subarray(0, 40_000));
  const again = spare.take(66_000);
  expect(again.buffer).toBe(one.buffer);
  expect(again.length).toBeGreaterThanOrEqual(66_000);
  expect(spare.take(40_000).buffer).not.toBe(one.buffer);
});

test('what is large, or small, or more than a few is not kept', () => {
  const spare = new SpareBuffers();
  for (const bytes of [100, 100_000]) {
    const one = spare.take(bytes);
    expect(one.length).toBe(bytes);
    spare.keep(one);
    expect(spare.take(bytes).buffer === one.buffer && bytes > 4_096).toBe(false);
  }
  const many = Array.from({ length: 20 }, () => spare.take(50_000));
  for (const one of many) spare.keep(one);
  const kept = Array.from({ length: 20 }, () => spare.take(50_000)).filter(({ buffer }) =>
    many.some((one) => one.buffer === buffer),
  );
  expect(kept).toHaveLength(4);
});
