import { describe, expect, test } from 'vitest';
import { fakeFiles } from '../../../test/support/fake-files.ts';
import { endOf, refusalOf } from './ends.ts';
import { Standstill } from './standstill.ts';

const seen = (code: number | null, console = '', errors = '', signal: string | null = null) =>
  endOf({ exit: { code, signal, seen: true }, console, errors, advice: 'Try another kernel' });
const unseen = (console: string) =>
  endOf({ exit: { code: null, signal: null, seen: false }, console, errors: '', advice: '' });

const PANIC = '[ 1.0] Kernel panic - not syncing: no init\r\n[ 1.1] Rebooting in 1 seconds..\r\n';
const REBOOT = '[ 1.0] reboot: Restarting system\r\n[ 1.1] reboot: machine restart\r\n';

describe('an end in order', () => {
  test.each([
    ['a reboot', REBOOT, 'GuestReset'],
    ['a panic', PANIC, 'GuestPanic'],
    ['what the console does not settle', 'login: ', 'GuestReset'],
    [
      'an initrd that gave up',
      'ALERT!  /dev/vda does not exist.  Dropping to a shell!\nRebooting automatically due to panic= boot argument\n',
      'GuestReset',
    ],
  ])('is %s', (_, console, reason) => {
    expect(seen(0, console)?.reason).toBe(reason);
  });

  test('of a panic for want of a root has the advice of the machine', () => {
    const words = 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n';
    expect(seen(0, words)?.message).toMatch(/sees no such disk.*Try another kernel$/);
  });
});

test.each([
  [148, /a system call that its filter forbids: and why/],
  [149, /huge pages/],
  [153, /arguments/],
  [1, /status 1: it could not go on: and why/],
])('status %i is told with what it means and what was said', (code, words) => {
  expect(seen(code, REBOOT, 'and why')).toMatchObject({ reason: 'VmmExited', message: expect.stringMatching(words) });
});

test('a signal and a status of no meaning say all themselves', () => {
  expect(seen(null, PANIC, '', 'SIGKILL')).toBeUndefined();
  expect(seen(77, PANIC)).toBeUndefined();
});

describe('an end that nobody saw', () => {
  test.each([
    ['its last words are of a reboot', REBOOT, 'GuestReset'],
    ['its last words are of a panic', PANIC, 'GuestPanic'],
    ['it stood still', 'x\r\n[ 1.0] reboot: Power down\r\n', 'GuestShutdown'],
    ['it booted again since', `${PANIC}[ 0.0] Linux version\r\n[ 0.1] a\r\n[ 0.2] b\r\n[ 0.3] c\r\n`, undefined],
    ['it said nothing', '', undefined],
  ])('where %s', (_, console, reason) => {
    expect(unseen(console)?.reason).toBe(reason);
  });
});

describe('a guest that stands still', () => {
  const standstill = (texts: Record<string, string>) => new Standstill(fakeFiles(texts), '/console', 'Try another');

  test.each([
    ['reboot: Power down', 'GuestShutdown'],
    ['reboot: System halted', 'GuestShutdown'],
    ['---[ end Kernel panic - not syncing: no init ]---', 'GuestPanic'],
  ])('by %s is believed at the second look', async (words, reason) => {
    const texts = { '/console': `[ 0.9] Kernel panic - not syncing: no init\r\n[ 1.0] ${words}\r\n` };
    const one = standstill(texts);
    expect(await one.look()).toBeUndefined();
    expect(await one.look()).toMatchObject({ reason });
    expect(await one.look()).toMatchObject({ reason });
  });

  test('is none while it says more, or other things', async () => {
    const texts = { '/console': 'reboot: Power down\r\n' };
    const one = standstill(texts);
    expect(await one.look()).toBeUndefined();
    texts['/console'] += 'cat old.log is done\r\n# ';
    for (let i = 0; i < 3; i++) expect(await one.look()).toBeUndefined();
  });

  test('is none without a console', async () => {
    const one = standstill({});
    for (let i = 0; i < 3; i++) expect(await one.look()).toBeUndefined();
  });
});

describe('a start that failed', () => {
  const exit = (code: number | null, signal: string | null = null) => ({ code, signal, seen: true });

  test.each([
    ['permanent', exit(153), 'Error: ParseArguments', 'refused'],
    ['passing', exit(1), 'Check that it is not already used.', 'tool'],
    ['by its own fault', exit(null, 'SIGABRT'), '', 'refused'],
    ['by hand', exit(null, 'SIGKILL'), '', 'tool'],
  ] as const)('is %s', (_, how, errors, kind) => {
    expect(refusalOf('firecracker', how, errors)).toMatchObject({ kind, reason: 'ProviderRefused' });
  });

  test('for want of the program is told with what to do', () => {
    const words = 'flintlock: before Firecracker, cannot run firecracker: No such file or directory';
    expect(refusalOf('firecracker', exit(127), words)).toMatchObject({
      ...{ kind: 'refused', reason: 'ProviderUnavailable' },
      message: expect.stringContaining('--firecracker-bin'),
    });
  });
});
