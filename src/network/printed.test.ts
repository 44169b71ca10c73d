import { expect, test } from 'vitest';
import { printedBy } from './printed.ts';

test('what a tool printed is read', () => {
  expect(printedBy('ip', '[{"ifname":"lo"}]\n')).toEqual([{ ifname: 'lo' }]);
  expect(printedBy('ip', '\n')).toEqual([]);
});

test('what is no JSON is told with its beginning, and whose it is', () => {
  expect(() => printedBy('nft', `table x ${'y'.repeat(500)}`)).toThrow(
    expect.objectContaining({
      kind: 'tool',
      reason: 'NetworkFailed',
      message: `Cannot read what nft printed: "table x ${'y'.repeat(192)}"`,
    }),
  );
});
