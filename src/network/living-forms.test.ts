import { describe, expect, test } from 'vitest';
import { livingIp, livingNft, WITH_NEXT } from './living-forms.ts';

describe('ip', () => {
  const { answer, isDone, parts } = livingIp();
  const MARK = 'Object "zz7" is unknown, try "ip help".\nCommand failed -:12\n';

  test('an answer ends with the mark, whole', () => {
    expect(answer('', 'zz7')).toBeUndefined();
    expect(answer(MARK, 'zz7')).toBe('');
    expect(answer(`[{"ifname":"lo"}]\n${MARK}`, 'zz7')).toBe('[{"ifname":"lo"}]\n');
    for (let length = 0; length < MARK.length; length++) expect(answer(MARK.slice(0, length), 'zz7')).toBeUndefined();
  });

  test("another's mark is none", () => {
    expect(answer(MARK, 'zz8')).toBeUndefined();
    expect(answer(MARK, 'zz')).toBeUndefined();
    expect(answer(MARK.replace('zz7', 'zz77'), 'zz7')).toBeUndefined();
  });

  test('each command is by itself, and done where it says nothing or shows what it was asked for', () => {
    expect(parts(['a', 'b'])).toEqual(['a', 'b']);
    const [set, more, show] = ['link set dev x up', 'link set dev x type bridge_slave guard on', 'link show dev x'];
    expect(parts([set, more, show])).toEqual([set, more, show]);
    const [first, second] = [`${set}${WITH_NEXT}`, `${more}${WITH_NEXT}`];
    expect(parts(['tuntap add dev x mode tap', first, second, show, set])).toEqual([
      'tuntap add dev x mode tap',
      `${first}\n${second}\n${show}`,
      set,
    ]);
    expect(isDone('link set dev x up', '')).toBe(true);
    expect(isDone('link set dev x up', 'RTNETLINK answers: File exists\nCommand failed -:1\n')).toBe(false);
    expect(isDone('link show dev lo', '[{"ifname":"lo"}]\n')).toBe(true);
    const several = 'link set dev lo up\nlink show dev lo';
    expect(isDone(several, '[{"ifname":"lo"}]\n')).toBe(true);
    expect(isDone(several, 'RTNETLINK answers: Invalid argument\nCommand failed -:1\n[{"ifname":"lo"}]\n')).toBe(false);
    // Another has the name now that this one has met with another number.
    expect(isDone('address show dev lo', '[{}]\n')).toBe(false);
    // What it says of an interface whose number is not its number any more.
    expect(isDone('link show dev x', 'RTNETLINK answers: No such device\nCannot send link request\n[]\n')).toBe(false);
    for (const text of ['', '[]\n', '[{"ifname":"a"}]\n[{"ifname":"b"}]\n', 'Device "x" does not exist.\n'])
      expect(isDone('address show dev x', text), text).toBe(false);
  });
});

describe('nft', () => {
  const { answer, isDone, parts } = livingNft();
  const MARK = 'Error: syntax error, unexpected newline, expecting string\nzz7\n   ^\n';

  test('an answer ends with the mark, whole', () => {
    expect(answer('', 'zz7')).toBeUndefined();
    expect(answer(MARK, 'zz7')).toBe('');
    for (let length = 0; length < MARK.length; length++) expect(answer(MARK.slice(0, length), 'zz7')).toBeUndefined();
    expect(answer(MARK, 'zz8')).toBeUndefined();
    expect(answer(MARK.replace('zz7', 'zz77'), 'zz7')).toBeUndefined();
  });

  test('all statements are one transaction, and done where it says nothing', () => {
    expect(parts(['add element ip t s { 1 }', 'delete element ip t s { 1 }'])).toEqual([
      'add element ip t s { 1 }; delete element ip t s { 1 }',
    ]);
    const refused = 'Error: Could not process rule: No such file or directory\ndelete element…\n   ^^^^\n';
    expect(answer(refused + MARK, 'zz7')).toBe(refused);
    expect(isDone('', refused)).toBe(false);
    expect(isDone('', '')).toBe(true);
  });
});
