import { expect, test } from 'vitest';
import { commandScript } from './job.ts';

test('words reach the command as they are, and so does the environment, but for where temporary files are', () => {
  const script = commandScript({
    command: ['sh', '-c', `echo "it's $HOME"; exit 3`],
    cwd: '/a b',
    env: { PATH: '/bin', QUOTE: "a'b", LINES: 'one\ntwo', TMPDIR: '/tmp/own', _: '/bin/node', UNSET: undefined },
  });
  expect(script).toBe(
    `cd '/a b' || exit 125
exec /run/lab/busybox env -i 'PATH=/bin' 'QUOTE=a'\\''b' 'LINES=one
two' 'sh' '-c' 'echo "it'\\''s $HOME"; exit 3'
`,
  );
});
