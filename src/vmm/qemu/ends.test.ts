import { describe, expect, test } from 'vitest';
import { endingOf, refusalOf } from './ends.ts';

const child = { code: 0, signal: null, seen: true };

test.each([
  ['guest-shutdown', 'GuestShutdown', /powered itself off/],
  ['guest-panic', 'GuestPanic', /panicked$/],
  ['guest-reset', 'GuestReset', /reset itself/],
  ['host-signal', 'VmmKilled', /signal from the host/],
  ['host-qmp-quit', 'VmmExited', /told to quit/],
  ['host-error', 'VmmExited', /^QEMU ended: host-error$/],
])('a shutdown for %s is the end %s', (word, reason, message) => {
  const { end, withErrors = false } = endingOf(word);
  expect(end.reason).toBe(reason);
  expect(end.message).toMatch(message);
  expect(withErrors).toBe(word === 'host-error');
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
