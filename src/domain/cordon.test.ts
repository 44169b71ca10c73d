import { expect, test } from 'vitest';
import { cordoned, cordonFor, readCordon } from './cordon.ts';

test('what is stored is read again, and what cannot be read keeps the host out', () => {
  const cordon = cordonFor(' a new kernel ', 1_700_000_000_000);
  expect(readCordon(JSON.stringify(cordon))).toEqual({ since: 1_700_000_000_000, reason: 'a new kernel' });
  expect(readCordon(undefined)).toBeUndefined();
  expect(readCordon('')).toBeUndefined();
  for (const odd of ['{', 'null', '7', '{"since":"x"}'])
    expect(readCordon(odd)).toMatchObject({ reason: expect.stringContaining('cannot be read') });
});

test('a reason is one line', () => {
  for (const odd of ['a\nb', '\u001b[31m', 'x'.repeat(501)]) expect(() => cordonFor(odd, 0)).toThrow(/reason: must be/);
});

test('who is turned away is told why, since when, and what to do', () => {
  expect(cordoned('microVM default/web', cordonFor('kernel', 0))).toMatchObject({
    ...{ kind: 'full', reason: 'HostCordoned', terminal: false },
    message: expect.stringMatching(
      /default\/web: .* since 1970-01-01T00:00:00.000Z \(kernel\): .*flintlock host uncordon$/,
    ),
  });
});
