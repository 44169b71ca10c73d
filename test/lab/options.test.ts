import { expect, test } from 'vitest';
import { HELP, parseLab, Usage } from './options.ts';

test("the command's own options are left to it", () => {
  expect(parseLab(['npm', 'run', 'e2e:kvm', '--', '--memory', '1', '--help'])).toEqual({
    command: ['npm', 'run', 'e2e:kvm', '--', '--memory', '1', '--help'],
    memoryMb: 4_096,
    cpus: 1,
    timeoutMs: 3_600_000,
    out: undefined,
    kernel: undefined,
    showConsole: false,
  });
});

test('options go before it, with or without a --', () => {
  const options = [
    '--memory',
    '2048',
    '--cpus=2',
    '--console',
    '--timeout',
    '60',
    '--out',
    '/tmp/seen',
    '--kernel',
    '/tmp/a.deb',
  ];
  const expected = {
    memoryMb: 2_048,
    cpus: 2,
    timeoutMs: 180_000,
    out: '/tmp/seen',
    kernel: '/tmp/a.deb',
    showConsole: true,
  };
  for (const words of [
    [...options, 'ls', '-l'],
    [...options, '--', 'ls', '-l'],
  ])
    expect(parseLab(words, 3)).toEqual({ ...expected, command: ['ls', '-l'] });
  expect(parseLab(['--', '--odd'])?.command).toEqual(['--odd']);
});

test('help is asked for before the command alone', () => {
  expect(parseLab(['--help'])).toBeUndefined();
  expect(parseLab(['-h', 'ls'])).toBeUndefined();
  expect(HELP).toContain('Examples:');
});

test.each([
  [[], /needs a command/],
  [['--memory', '2048'], /needs a command/],
  [['--memory', '1', 'ls'], /--memory takes a whole number from 512 /],
  [['--memory=4g', 'ls'], /not "4g"/],
  [['--cpus', '0', 'ls'], /--cpus takes/],
  [['--timeout', '1e3', 'ls'], /--timeout takes/],
  [['--out=', 'ls'], /--out takes a directory/],
  [['--memroy', '2048', 'ls'], /--memroy/],
  [['--console=yes', 'ls'], /--console/],
])('%j is refused', (words, message) => {
  expect(() => parseLab(words)).toThrow(Usage);
  expect(() => parseLab(words)).toThrow(message);
});
