import { describe, expect, test } from 'vitest';
import type { VmmEnd } from '../../ports/vmm.ts';
import { type EndFacts, endOf, panicLine } from './ends.ts';

const child = { code: 0, signal: null, seen: true };
const stranger = { code: null, signal: null, seen: false };
const quiet = { program: 'QEMU', panicked: false, errors: '' };
const told: VmmEnd = { reason: 'GuestShutdown', message: 'The guest powered itself off' };
const NO_ROOT = 'VFS: Unable to mount root fs on unknown-block(0,0)';
const OF_NO_DEVICE = 'VFS: Unable to mount root fs on "" or unknown-block(0,0)';

describe('the end of a run', () => {
  test.each<[string, EndFacts, VmmEnd['reason'], RegExp]>([
    ['what was told', { ...quiet, told, exit: child }, 'GuestShutdown', /powered itself off$/],
    ['what was told, adopted', { ...quiet, told, exit: stranger }, 'GuestShutdown', /powered itself off$/],
    ['without its errors', { ...quiet, told, errors: 'oh', exit: child }, 'GuestShutdown', /off$/],
    [
      'with its errors',
      { ...quiet, told, toldWithErrors: true, errors: ' oh\n', exit: child },
      'GuestShutdown',
      /off: oh$/,
    ],
    [
      'panic, whatever else was told',
      { ...quiet, panicked: true, panic: 'VFS: no root', told, exit: child },
      'GuestPanic',
      /panicked: VFS: no root$/,
    ],
    [
      'panic for want of a root, with what the machine advises',
      { ...quiet, panicked: true, advice: 'Try another', panic: NO_ROOT, exit: child },
      'GuestPanic',
      /initrd of its version\. Try another$/,
    ],
    [
      'panic for want of a root, without advice',
      { ...quiet, panicked: true, panic: OF_NO_DEVICE, exit: child },
      'GuestPanic',
      /initrd of its version$/,
    ],
    [
      'a root that cannot be read',
      {
        ...quiet,
        panicked: true,
        advice: 'Try',
        panic: 'VFS: Unable to mount root fs on unknown-block(254,0)',
        exit: child,
      },
      'GuestPanic',
      /sees a disk.*no driver built in for the file system/,
    ],
    ['panic without a word', { ...quiet, panicked: true, exit: stranger }, 'GuestPanic', /panicked$/],
    [
      'SIGKILL',
      { ...quiet, exit: { code: null, signal: 'SIGKILL', seen: true } },
      'VmmKilled',
      /killed by SIGKILL.*memory/,
    ],
    ['SIGSYS', { ...quiet, exit: { code: null, signal: 'SIGSYS', seen: true } }, 'VmmKilled', /killed by SIGSYS$/],
    [
      'an exit status',
      { ...quiet, errors: 'qemu: boom\n', exit: { ...child, code: 1 } },
      'VmmExited',
      /^QEMU ended with exit status 1: qemu: boom$/,
    ],
    ['want of memory', { ...quiet, exit: stranger, oomIn: '' }, 'OutOfMemory', /on the host: give the host more/],
    ['an unseen end', { ...quiet, exit: stranger }, 'VmmVanished', /nobody saw/],
  ])('%s', (_, facts, reason, message) => {
    const end = endOf(facts);
    expect(end.reason).toBe(reason);
    expect(end.message).toMatch(message);
  });
});

test('the last panic of a console is found, with or without time stamps', () => {
  expect(
    panicLine('[    1.34] Kernel panic - not syncing: first\r\n[   12.3] Kernel panic - not syncing: last one\r\n'),
  ).toBe('last one');
  expect(panicLine('Kernel panic - not syncing: bare')).toBe('bare');
  expect(panicLine('echo Kernel panic - not syncing: typed')).toBeUndefined();
  expect(panicLine('[    1.3] all is well\n')).toBeUndefined();
});

test.each([
  [
    '00007f00',
    '/sbin/init: error while loading shared libraries: libx.so.1: cannot open shared object file\r\n[    2.0] x\r\n',
    /: its first program ended with exit status 127, after "\/sbin\/init: error while .* object file"$/,
  ],
  [
    '00000100',
    'flintlock-initrd: no device /dev/vdz after 10 s; there are: vda\n\n',
    /status 1, after "flintlock-initrd: no/,
  ],
  ['0000000b', '[    2.0] x\r\n', /: its first program was killed by SIGSEGV$/],
  ['0000001f', '', /killed by signal 31$/],
])('a first program that ends is told with its end and last words: %s', (code, before, told) => {
  const panic = `[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x${code}\r\n[    2.2] CPU: 0\r\n`;
  expect(panicLine(`${before}${panic}`)).toMatch(told);
});
