import fc from 'fast-check';
import { expect, test } from 'vitest';
import { wordsOf } from '../../domain/kernel-words.ts';
import { cmdlineMap, cmdlineText } from './cmdline.ts';

test.each([
  [{}, ''],
  [{ ds: 'nocloud' }, 'ds=nocloud'],
  [{ root: '/dev/vda', console: 'ttyS0', rw: '' }, 'console=ttyS0 root=/dev/vda rw'],
  [{ a: 'b=c' }, 'a=b=c'],
  [{ dyndbg: '"file x +p"' }, 'dyndbg="file x +p"'],
  [{ a: 'b c' }, '"a=b c"'],
  [{ a: ' ' }, '"a= "'],
])('%j is written as %j, and read back', (parameters, text) => {
  expect(cmdlineText(parameters)).toEqual({ text, wrong: [] });
  expect(cmdlineMap(text)).toEqual(parameters);
});

test('the order of the map does not matter', () => {
  expect(cmdlineText({ b: '2', a: '1' })).toEqual(cmdlineText({ a: '1', b: '2' }));
});

test.each([
  [{ '': 'x' }, 'kernel.cmdline[]'],
  [{ 'a b': 'x' }, 'kernel.cmdline[a b]'],
  [{ 'a=b': 'x' }, 'kernel.cmdline[a=b]'],
  [{ '"a': 'x' }, 'kernel.cmdline["a]'],
  [{ '--': '' }, 'kernel.cmdline[--]'],
  [{ a: 'b"c' }, 'kernel.cmdline[a]'],
  [{ a: 'b "c"' }, 'kernel.cmdline[a]'],
])('%j cannot be said on a command line, and is refused at %s', (parameters, field) => {
  expect(cmdlineText({ quiet: '', ...parameters })).toEqual({
    text: 'quiet',
    wrong: [{ field, description: expect.any(String) }],
  });
});

test('what the native surface wrote is shown: the last of a key, and what belongs to init', () => {
  expect(cmdlineMap('quiet console=tty0 console=ttyS0 a="b c" -- sh -c x')).toEqual({
    quiet: '',
    console: 'ttyS0',
    a: '"b c"',
    '--': 'sh -c x',
  });
});

test('whatever is taken is one word each, and comes back as it was', () => {
  const character = fc.constantFrom('a', 'B', '1', '-', '_', '.', '=', '"', ' ', '\t', ',', 'ä', '/', '\n');
  const some = fc.string({ unit: character, maxLength: 8 });
  fc.assert(
    fc.property(fc.dictionary(some, some), (parameters) => {
      const { text, wrong } = cmdlineText(parameters);
      const refused = wrong.length;
      expect(wordsOf(text)).toHaveLength(Object.keys(parameters).length - refused);
      if (refused === 0) expect(cmdlineMap(text)).toEqual(parameters);
      // A second time nothing changes any more.
      expect(cmdlineText(cmdlineMap(text))).toEqual({ text, wrong: [] });
    }),
    { numRuns: 500 },
  );
});
