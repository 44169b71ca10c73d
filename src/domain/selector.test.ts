import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fault } from './fault.ts';
import { matches, parseSelector } from './selector.ts';

describe('Kubernetes’ syntax', () => {
  test.each([
    ['', []],
    ['  ', []],
    ['a=b', [{ key: 'a', op: 'in', values: ['b'] }]],
    ['a==b', [{ key: 'a', op: 'in', values: ['b'] }]],
    ['a = b', [{ key: 'a', op: 'in', values: ['b'] }]],
    ['a!=b', [{ key: 'a', op: 'notin', values: ['b'] }]],
    ['a=', [{ key: 'a', op: 'in', values: [''] }]],
    ['a in (b, c)', [{ key: 'a', op: 'in', values: ['b', 'c'] }]],
    ['a in (b)', [{ key: 'a', op: 'in', values: ['b'] }]],
    ['a in(b)', [{ key: 'a', op: 'in', values: ['b'] }]],
    ['a notin (b)', [{ key: 'a', op: 'notin', values: ['b'] }]],
    ['a in ()', [{ key: 'a', op: 'in', values: [''] }]],
    ['a in (b,)', [{ key: 'a', op: 'in', values: ['b', ''] }]],
    ['a', [{ key: 'a', op: 'exists' }]],
    ['!a', [{ key: 'a', op: 'absent' }]],
    ['! a', [{ key: 'a', op: 'absent' }]],
    ['in in (in)', [{ key: 'in', op: 'in', values: ['in'] }]],
    ['example.com/a=b', [{ key: 'example.com/a', op: 'in', values: ['b'] }]],
    [
      ' a=b , c in (d,e) ,!f',
      [
        { key: 'a', op: 'in', values: ['b'] },
        { key: 'c', op: 'in', values: ['d', 'e'] },
        { key: 'f', op: 'absent' },
      ],
    ],
  ])('%j is read', (text, selector) => {
    expect(parseSelector(text)).toEqual(selector);
  });

  test.each([
    'a,',
    ',a',
    'a,,b',
    '=b',
    '!',
    'a=b=c',
    'a b',
    'a in b',
    'a in (b',
    'a in b)',
    'a in ((b))',
    'a)b,c',
    '!a=b',
    'a>1',
    'a in (b c)',
    '-a',
    'a=-b',
    `a=${'x'.repeat(64)}`,
    'a=b\n;DROP TABLE vms',
    "a='b'",
    '\u001b[2J',
  ])('%j is refused and named', (text) => {
    expect(() => parseSelector(text)).toThrow(
      expect.objectContaining({
        kind: 'invalid',
        violations: [{ field: 'label_selector', description: expect.not.stringMatching(/\p{Cc}/u) }],
      }),
    );
  });

  test('more requirements than any use has are refused: SQLite would not take them', () => {
    const many = (n: number): string => Array.from({ length: n }, (_, i) => `k${i}`).join(',');
    expect(parseSelector(many(256))).toHaveLength(256);
    expect(() => parseSelector(many(257))).toThrow(/at most 256/);
    expect(() => parseSelector(`a in (${many(20_000)})`)).toThrow(/at most/);
  });

  test('any text at all is read or refused with a Fault', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab=!,() in\n.-'), maxLength: 40 }), (text) => {
        try {
          parseSelector(text);
        } catch (error) {
          expect(error).toBeInstanceOf(Fault);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('what a selector matches', () => {
  test.each([
    ['a=b', { a: 'b' }, true],
    ['a=b', { a: 'c' }, false],
    ['a=b', {}, false],
    ['a!=b', {}, true],
    ['a!=b', { a: 'b' }, false],
    ['a notin (b,c)', { a: 'd' }, true],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['a=', { a: '' }, true],
    ['a=', {}, false],
    ['constructor', {}, false],
    ['!toString', {}, true],
    ['a,b', { a: '1' }, false],
    ['', { anything: 'x' }, true],
  ])('%j on %j: %s', (text, labels, expected) => {
    expect(matches(parseSelector(text), labels as Record<string, string>)).toBe(expected);
  });
});
