import { describe, expect, test } from 'vitest';
import { endOf, panicLine, refusalOf } from './ends.ts';

const child = { code: 0, signal: null, seen: true };
const stranger = { code: null, signal: null, seen: false };
const quiet = { panicked: false, errors: '' };

describe('the end of a run', () => {
  test.each([
    ['power-off', { ...quiet, shutdown: 'guest-shutdown', exit: child }, 'GuestShutdown', /powered itself off/],
    ['power-off, adopted', { ...quiet, shutdown: 'guest-shutdown', exit: stranger }, 'GuestShutdown', /powered/],
    [
      'panic',
      { ...quiet, panicked: true, panic: 'VFS: no root', shutdown: 'guest-panic', exit: child },
      'GuestPanic',
      /panicked: VFS: no root/,
    ],
    [
      'panic for want of a root',
      {
        ...quiet,
        panicked: true,
        acpi: true,
        panic: 'VFS: Unable to mount root fs on unknown-block(0,0)',
        exit: child,
      },
      'GuestPanic',
      /initrd of its version.*acpi=off in kernel\.cmdline/,
    ],
    [
      'the same without ACPI',
      {
        ...quiet,
        panicked: true,
        acpi: false,
        panic: 'VFS: Unable to mount root fs on "" or unknown-block(0,0)',
        exit: child,
      },
      'GuestPanic',
      /"qemu\.acpi": "on"/,
    ],
    [
      'a root that cannot be read',
      {
        ...quiet,
        panicked: true,
        acpi: true,
        panic: 'VFS: Unable to mount root fs on unknown-block(254,0)',
        exit: child,
      },
      'GuestPanic',
      /sees a disk.*no driver built in for the file system/,
    ],
    ['panic without a word', { ...quiet, panicked: true, exit: stranger }, 'GuestPanic', /panicked$/],
    ['reset', { ...quiet, shutdown: 'guest-reset', exit: child }, 'GuestReset', /reset itself/],
    ['SIGTERM', { ...quiet, shutdown: 'host-signal', exit: child }, 'VmmKilled', /signal from the host/],
    ['quit', { ...quiet, shutdown: 'host-qmp-quit', exit: child }, 'VmmExited', /told to quit/],
    ['another shutdown', { ...quiet, shutdown: 'host-error', exit: child }, 'VmmExited', /host-error/],
    [
      'SIGKILL',
      { ...quiet, exit: { code: null, signal: 'SIGKILL', seen: true } },
      'VmmKilled',
      /killed by SIGKILL.*memory/,
    ],
    ['SIGSYS', { ...quiet, exit: { code: null, signal: 'SIGSYS', seen: true } }, 'VmmKilled', /killed by SIGSYS$/],
    [
      'an exit status',
      { panicked: false, errors: 'qemu: boom\n', exit: { ...child, code: 1 } },
      'VmmExited',
      /status 1: qemu: boom$/,
    ],
    ['want of memory', { ...quiet, exit: stranger, oomIn: '' }, 'OutOfMemory', /on the host: give the host more/],
    ['an unseen end', { ...quiet, exit: stranger }, 'VmmVanished', /nobody saw/],
  ] as const)('%s', (_, facts, reason, message) => {
    const end = endOf(facts);
    expect(end.reason).toBe(reason);
    expect(end.message).toMatch(message);
  });
});

describe('a start that failed', () => {
  test('what QEMU says is told, and no retry can mend it', () => {
    const fault = refusalOf('qemu', { ...child, code: 1 }, 'qemu: Could not open /x: No such file\n');
    expect(fault).toMatchObject({ kind: 'refused', reason: 'ProviderRefused', terminal: true });
    expect(fault.message).toMatch(/exit status 1 .*Could not open \/x/);
  });

  test.each(['Failed to get "write" lock', 'could not configure /dev/net/tun (flt0): Device or resource busy'])(
    '%s may pass',
    (errors) => expect(refusalOf('qemu', { ...child, code: 1 }, errors).terminal).toBe(false),
  );

  test('a signal may pass', () => {
    const fault = refusalOf('qemu', { code: null, signal: 'SIGKILL', seen: true }, '');
    expect(fault).toMatchObject({ kind: 'tool', reason: 'ProviderRefused', terminal: false });
  });

  test('a program that is not there comes with the remedy', () => {
    const fault = refusalOf('qemu', { ...child, code: 127 }, 'setpriv: failed to execute qemu: No such file\n');
    expect(fault.reason).toBe('ProviderUnavailable');
    expect(fault.message).toContain('apt-get install qemu-system-x86');
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

test.each([
  ['SIGABRT', 'refused'],
  ['SIGSEGV', 'refused'],
  ['SIGSYS', 'refused'],
  ['SIGKILL', 'tool'],
  ['SIGTERM', 'tool'],
])('a start that ends by %s is a fault of the kind %s', (signal, kind) => {
  expect(refusalOf('qemu', { code: null, signal, seen: true }, '')).toMatchObject({
    kind,
    terminal: kind === 'refused',
  });
});
