import { expect, test } from 'vitest';
import { eventually } from '../../../test/support/fake-clock.ts';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { appended } from './growing-file.ts';

const PATH = '/state/console.log';

/** A file that grows, and who reads what is appended. */
function growing(text: string, from: number) {
  const texts: Record<string, string> = { [PATH]: text };
  let changed = (): void => undefined;
  let stopped = 0;
  const watch = (path: string, callback: () => void) => {
    expect(path).toBe(PATH);
    changed = callback;
    return () => void stopped++;
  };
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const abort = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const data of appended({ ...fakeFiles(texts), watch }, PATH, from, ended, abort.signal))
      seen.push(Buffer.from(data).toString());
  })();
  const append = (more: string): void => {
    texts[PATH] += more;
    changed();
  };
  return { append, end, abort, seen, reading, stopped: () => stopped };
}

test('what is appended is read as it comes, and what was there before is not', async () => {
  const file = growing('before', 6);
  file.append('one');
  await eventually('it is read', () => file.seen.length === 1);
  file.append('two');
  await eventually('it is read', () => file.seen.length === 2);
  expect(file.seen).toEqual(['one', 'two']);
  file.append('last');
  file.end();
  await file.reading;
  expect(file.seen.join('')).toBe('onetwolast');
  expect(file.stopped()).toBe(1);
});

test('much of it comes in pieces', async () => {
  const file = growing('x'.repeat(200_000), 0);
  file.end();
  await file.reading;
  expect(file.seen.map((piece) => piece.length)).toEqual([65_536, 65_536, 65_536, 3_392]);
});

test('an abort ends it while it waits, and its watch', async () => {
  const file = growing('', 0);
  const rejected = expect(file.reading).rejects.toThrow('enough');
  file.abort.abort(new Error('enough'));
  await rejected;
  expect(file.stopped()).toBe(1);
});
