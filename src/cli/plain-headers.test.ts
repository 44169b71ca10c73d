import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PlainHeaders } from './plain-headers.ts';

const name = fc.constantFrom('Content-Type', 'grpc-status', 'GRPC-Status', 'x-a', 'X-A', 'set-cookie');
const value = fc.constantFrom('', 'a', ' b ', '0', 'a, b');
const act = fc.oneof(
  fc.record({ verb: fc.constantFrom('append' as const, 'set' as const), name, value }),
  fc.record({ verb: fc.constant('delete' as const), name }),
);

test('they are what the Headers of Node are, whatever is done to them', () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 12 }), (acts) => {
      const [ours, theirs] = [new PlainHeaders(), new Headers()];
      for (const headers of [ours, theirs])
        for (const one of acts)
          if (one.verb === 'delete') headers.delete(one.name);
          else headers[one.verb](one.name, one.value);
      expect([...ours]).toEqual([...theirs]);
      expect([...ours.entries()]).toEqual([...theirs.entries()]);
      expect([...ours.keys()]).toEqual([...theirs.keys()]);
      expect([...ours.values()]).toEqual([...theirs.values()]);
      expect(ours.getSetCookie()).toEqual(theirs.getSetCookie());
      for (const key of ['content-type', 'Grpc-Status', 'x-A', 'none'])
        expect([ours.get(key), ours.has(key)]).toEqual([theirs.get(key), theirs.has(key)]);
      const seen: unknown[] = [];
      ours.forEach((text, key) => {
        seen.push([key, text]);
      });
      expect(seen).toEqual([...theirs]);
      expect([...new PlainHeaders(ours)]).toEqual([...new Headers(theirs)]);
    }),
  );
});

test('they are made of pairs, of a record, and of nothing', () => {
  expect([...new PlainHeaders()]).toEqual([]);
  expect([...new PlainHeaders({ B: '1', a: '2' })]).toEqual([
    ['a', '2'],
    ['b', '1'],
  ]);
});
