import { expect, test } from 'vitest';
import { sampleRecord, sampleSpec } from '../../test/support/fake-services.ts';
import { admission, limitsOf, promisedTo, willRun } from './admission.ts';

const host = { vcpu: 2, memoryInMb: 4_096, diskInMb: 10_000 };
const standard = { maxMemory: 'auto', maxVcpu: 'none', maxDisk: 'auto', maxMicrovms: 'none' } as const;
const none = { microvms: 0, vcpu: 0, memoryInMb: 0, diskInMb: 0 };

test('limits are what the host has without 512 MiB, or as they are set', () => {
  expect(limitsOf(standard, host)).toEqual({ memoryInMb: 3_584, diskInMb: 10_000 });
  expect(limitsOf(standard, { ...host, memoryInMb: 256 })).toMatchObject({ memoryInMb: 1 });
  const set = { maxMemory: 2 ** 30, maxVcpu: 8, maxDisk: 2 ** 40, maxMicrovms: 5 };
  expect(limitsOf(set, host)).toEqual({ memoryInMb: 1_024, vcpu: 8, diskInMb: 1_048_576, microvms: 5 });
  expect(limitsOf({ maxMemory: 'none', maxVcpu: 'none', maxDisk: 'none', maxMicrovms: 'none' }, host)).toEqual({});
});

test('disks count as what they may grow to: as made, as asked for, none where they are read-only', () => {
  const volume = { id: 'a', isRoot: false, isReadOnly: false, mountPoint: '', image: 'x' };
  const volumes = [
    volume,
    { ...volume, id: 'b', sizeInMb: 100 },
    { ...volume, id: 'c', sizeInMb: 1_000, isReadOnly: true },
  ];
  const spec = { ...sampleSpec, vcpu: 3, memoryInMb: 77, volumes };
  expect(promisedTo(spec)).toEqual({ vcpu: 3, memoryInMb: 77, diskInMb: 100 });
  const made = { volumes: { a: { digest: '', path: '', sizeInMb: 64 }, c: { digest: '', path: '', sizeInMb: 5 } } };
  expect(promisedTo(spec, made).diskInMb).toBe(164);
});

test('who runs or will holds memory by itself, nobody else', () => {
  const state = sampleRecord().state;
  expect(willRun(state)).toBe(true);
  expect(willRun({ is: 'PENDING', reason: 'Preparing', message: '' })).toBe(true);
  expect(willRun({ is: 'STOPPED', reason: 'Stopped', message: '', consoleTail: '' })).toBe(false);
  expect(willRun({ is: 'FAILED', reason: 'GuestPanic', message: '', consoleTail: '' })).toBe(false);
});

test('what does not fit is refused with every figure and what to do; what just fits is not', () => {
  const asked = { microvms: 1, vcpu: 2, memoryInMb: 1_000, diskInMb: 50 };
  const others = { microvms: 9, vcpu: 4, memoryInMb: 3_000, diskInMb: 0 };
  expect(admission('x', asked, others, { memoryInMb: 4_000, vcpu: 6, diskInMb: 50, microvms: 10 })).toBeUndefined();
  const fault = admission('microVM default/web', asked, others, { memoryInMb: 3_999, vcpu: 5, microvms: 9 });
  expect(fault).toMatchObject({ kind: 'full', reason: 'Admission' });
  expect(fault?.message).toBe(
    'Cannot admit microVM default/web: ' +
      'it asks for 1 microVMs, 9 of at most 9 are promised (delete some, or raise --max-microvms); ' +
      'it asks for 1000 MiB of memory, 3000 of at most 3999 are promised (ask for less, or delete or stop others, or raise --max-memory); ' +
      'it asks for 2 vCPUs, 4 of at most 5 are promised (ask for fewer, or delete or stop others, or raise --max-vcpu)',
  );
});

test('under a limit that was lowered since, who asks for none of that resource is not refused for it', () => {
  const asked = { ...none, microvms: 1, memoryInMb: 64 };
  expect(admission('x', asked, { ...none, diskInMb: 900 }, { diskInMb: 100 })).toBeUndefined();
  expect(admission('x', { ...asked, diskInMb: 1 }, { ...none, diskInMb: 900 }, { diskInMb: 100 })).toBeDefined();
});
