import { expect, test } from 'vitest';
import { type Candidate, chooseProvider as choose, mayGoTo, type PassedOver } from './choose-provider.ts';

/** As a create does it. */
function chooseProvider(wanted: string, byDefault: readonly string[], all: readonly Candidate[]) {
  const possible = mayGoTo(wanted, byDefault).flatMap((name) => all.find((one) => one.name === name) ?? []);
  return choose(
    wanted,
    all.map(({ name }) => name),
    possible,
  );
}

const lack = (field: string) => ({ field, description: `too many ${field}` });
const able = (name: string): Candidate => ({ name, lacks: [] });
const away = (name: string): Candidate => ({ name, unavailable: `${name} is not installed`, lacks: [] });
const chosen = (provider: string, ...passedOver: PassedOver[]) => ({ is: 'chosen', provider, passedOver });
const unable = (name: string, ...fields: string[]): Candidate => ({ name, lacks: fields.map(lack) });

test('the one that is named is taken, whatever the order says', () => {
  expect(chooseProvider('b', ['a', 'b'], [able('a'), able('b')])).toEqual(chosen('b'));
  expect(chooseProvider('b', ['a'], [able('a'), able('b')])).toEqual(chosen('b'));
});

test('without a name the first that can do all is taken, in the order that is given', () => {
  const all = [able('a'), able('b'), unable('c', 'vcpu')];
  expect(chooseProvider('', ['b', 'a'], all)).toEqual(chosen('b'));
  expect(chooseProvider('', ['c', 'a'], all)).toEqual(
    chosen('a', { name: 'c', unusable: false, why: 'vcpu: too many vcpu' }),
  );
  expect(chooseProvider('', ['b', 'a'], [able('a'), away('b')])).toEqual(
    chosen('a', { name: 'b', unusable: true, why: 'b is not installed' }),
  );
});

test('one that is not there at all is passed over without a word', () => {
  const gone: Candidate = { ...away('a'), absent: true };
  expect(chooseProvider('', ['a', 'b'], [gone, able('b')])).toEqual(chosen('b'));
  expect(chooseProvider('', ['a'], [gone])).toMatchObject({ is: 'unavailable', why: 'a is not installed' });
});

test('what is not in the order is never taken unasked', () => {
  expect(chooseProvider('', ['a'], [unable('a', 'vcpu'), able('b')])).toMatchObject({ is: 'refused', provider: 'a' });
});

test('what is refused is told with what is lacked', () => {
  expect(chooseProvider('', ['a'], [unable('a', 'vcpu', 'volumes')])).toEqual({
    ...{ is: 'refused', provider: 'a', violations: [lack('vcpu'), lack('volumes')] },
  });
  // One that is named is not given up for another.
  expect(chooseProvider('a', ['b'], [unable('a', 'vcpu'), able('b')])).toEqual({
    ...{ is: 'refused', provider: 'a', violations: [lack('vcpu')] },
  });
});

test('of several it is told what each lacks', () => {
  const all = [unable('a', 'vcpu'), unable('b', 'volumes'), away('c')];
  expect(chooseProvider('', ['a', 'b', 'c'], all)).toEqual({
    is: 'refused',
    provider: 'a',
    violations: [
      { field: 'vcpu', description: 'too many vcpu (a)' },
      { field: 'volumes', description: 'too many volumes (b)' },
    ],
  });
});

test('where none can be used it is told why', () => {
  expect(chooseProvider('', ['a'], [away('a')])).toEqual({
    is: 'unavailable',
    provider: 'a',
    why: 'a is not installed',
  });
  expect(chooseProvider('', ['a', 'b'], [away('a'), away('b')])).toMatchObject({
    ...{ is: 'unavailable', why: 'a: a is not installed; b: b is not installed' },
  });
});

test('a name that is none is refused with those there are', () => {
  expect(chooseProvider('x', ['a'], [able('a'), able('b')])).toEqual({
    is: 'refused',
    violations: [{ field: 'provider', description: '"x" is none of this daemon\'s: give a or b, or nothing' }],
  });
});
