import { expect, test } from 'vitest';
import { Load } from './load.ts';

const LIMITS = {
  calls: { connection: 3, caller: 4, all: 5 },
  streams: { connection: 1, caller: 2, all: 3 },
};

test('calls and streams are counted at each level until they end', () => {
  const load = new Load(LIMITS);
  const [one, two, three] = [{}, {}, {}];
  const enter = (connection: object, caller: string, isStream = false) => load.enter({ connection, caller }, isStream);
  const stream = enter(one, 'ci', true);
  expect(() => enter(one, 'ci', true)).toThrow(
    'Too many streams (watches, consoles, pulls, lists by stream) at once on one connection (at most 1): end some of them, or share one among their readers',
  );
  enter(two, 'ci', true);
  expect(() => enter(three, 'ci', true)).toThrow('at once of ci (at most 2)');
  enter(three, 'lab', true);
  expect(() => enter({}, 'eye', true)).toThrow('at once of all callers (at most 3)');
  // They are calls, too.
  const call = enter(one, 'ci');
  enter(one, 'ci');
  expect(() => enter(two, 'ci')).toThrow('Too many calls at once of ci (at most 4): wait for some of them');
  expect(() => enter({}, 'eye')).toThrow('of all callers (at most 5)');
  call();
  call(); // it ends once
  expect(() => enter({}, 'eye')).not.toThrow();
  expect(() => enter({}, 'eye')).toThrow('of all callers');
  stream();
  expect(() => enter(one, 'ci', true)).not.toThrow();
});
