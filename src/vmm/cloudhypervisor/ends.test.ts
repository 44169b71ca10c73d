import { expect, test } from 'vitest';
import { refusalOf, refusedBy, wordsOf } from './ends.ts';

const exited = { code: 1, signal: null, seen: true };

test("an error's chain is told from the outermost word on", () => {
  const chain = ['Error from API', 'The VM could not boot', 'Max CPUs (1) lower than boot CPUs (2)'];
  const fault = refusedBy('vm.boot', { status: 400, text: JSON.stringify(chain) });
  expect(fault).toMatchObject({ kind: 'refused', reason: 'ProviderRefused', terminal: true });
  expect(fault.message).toBe(`Cloud Hypervisor refused vm.boot: ${chain.join(': ')}`);
});

test('older versions answer with a text, and some answers have none', () => {
  expect(wordsOf({ status: 500, text: 'VM is not created' })).toBe('VM is not created');
  expect(wordsOf({ status: 500, text: '[]' })).toBe('[]');
  expect(wordsOf({ status: 500, text: '' })).toBe('it answers with status 500');
  expect(wordsOf({ status: 500, text: 'x'.repeat(9_999) })).toHaveLength(1_000);
});

test('what may pass is tried again', () => {
  for (const words of ['Device or resource busy (os error 16)', 'The file is already locked'])
    expect(refusedBy('vm.boot', { status: 500, text: JSON.stringify(['a', words]) })).toMatchObject({ kind: 'tool' });
  expect(refusalOf('ch', { code: null, signal: 'SIGTERM', seen: true }, '')).toMatchObject({ kind: 'tool' });
  expect(refusalOf('ch', { code: null, signal: 'SIGSYS', seen: true }, '')).toMatchObject({ kind: 'refused' });
});

test('the starter says what it could not do', () => {
  expect(refusalOf('ch', exited, 'flintlock: cannot open /images/vmlinux: No such file or directory\n').message).toBe(
    'Cannot start Cloud Hypervisor: cannot open /images/vmlinux: No such file or directory',
  );
  const missing = refusalOf('ch', { ...exited, code: 125 }, 'flintlock: cannot run ch: No such file or directory\n');
  expect(missing).toMatchObject({ kind: 'refused', reason: 'ProviderUnavailable' });
  expect(missing.message).toContain('--cloudhypervisor-bin');
  expect(refusalOf('ch', exited, 'Error: something\n').message).toBe(
    'Cloud Hypervisor ended with exit status 1 before the guest ran: Error: something',
  );
});
