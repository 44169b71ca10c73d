import { expect, test } from 'vitest';
import { type KvmChoice, kvmObstacle } from './kvm.ts';

const obstacle = (cpuinfo: string, perlSays: string, choice: KvmChoice = 'auto') =>
  kvmObstacle({ run: async () => `${perlSays}\n`, files: { read: async () => Buffer.from(cpuinfo) } }, choice, {
    signal: new AbortController().signal,
    timeoutMs: 1_000,
  });
const SVM = 'flags : fpu svm\n';

test.for<[cpuinfo: string, perl: string, why: RegExp]>([
  ['flags : fpu\n', 'ok', /neither vmx nor svm .* give --cloudhypervisor-kvm trust$/],
  [SVM, 'absent', /^there is no \/dev\/kvm: load/],
  [SVM, 'closed Permission denied', /\(Permission denied\).*chgrp kvm/],
  [SVM, 'useless Invalid argument', /makes no virtual machine here: Invalid argument/],
])('%j, %s: it is told why, with what to do', async ([cpuinfo, perl, why]) => {
  expect(await obstacle(cpuinfo, perl)).toMatch(why);
  expect(await obstacle(cpuinfo, perl, 'trust')).toBeUndefined();
});

test('one that makes a virtual machine is none, and what cannot be tried is a fault', async () => {
  expect(await obstacle(SVM, 'ok')).toBeUndefined();
  await expect(obstacle(SVM, 'what?')).rejects.toMatchObject({ kind: 'tool' });
});
