import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginnings } from './beginnings.ts';

test('a name begins as one of many, as if each were looked at', () => {
  const path = fc.stringMatching(/^\/?[ab]{0,2}(\/[ab]{0,2}){0,3}\/?$/);
  fc.assert(
    fc.property(fc.array(path, { maxLength: 5 }), path, (all, name) => {
      expect(beginnings(all)(name)).toBe(all.some((one) => name.startsWith(one)));
    }),
    { numRuns: 500 },
  );
});
