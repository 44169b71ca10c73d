import { expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/fake-services.ts';
import type { LedgerEntry } from '../domain/ledger.ts';
import type { CgroupLimits } from '../ports/cgroups.ts';
import type { StepPorts } from './step.ts';
import { vmm } from './vmm.ts';

/** The limits that the monitor's cgroup would get. */
function limitsWith(inMemory: boolean): CgroupLimits | undefined {
  let asked: CgroupLimits | undefined;
  const vm = sampleRecord({});
  const volume = (id: string, isReadOnly: boolean) => ({
    id,
    isRoot: id === 'root',
    isReadOnly,
    mountPoint: '',
    image: 'oci:/i:t',
  });
  const spec = { ...vm.spec, interfaces: [], volumes: [volume('root', false), volume('shared', true)] };
  const entry = (kind: string, key: string, result: object) => ({
    kind,
    key,
    intent: {},
    result,
    entry: 1,
    owner: vm.uid,
    made: true,
  });
  const entries = [
    entry('image', spec.kernel.image, { kernel: { path: '/k' }, initrd: { path: '/i' } }),
    ...(spec.initrd ? [entry('image', spec.initrd.image, { kernel: { path: '/k' }, initrd: { path: '/i' } })] : []),
    entry('volume', 'root', { path: '/d0', format: 'raw', sizeInMb: 640 }),
    entry('volume', 'shared', { path: '/d1', format: 'raw', sizeInMb: 5_000 }),
  ] as unknown as readonly LedgerEntry[];
  const ports = {
    names: { instance: 'abcd', stateDirectory: '/s', runDirectory: '/r' },
    managed: undefined,
    volumes: { inMemory },
    vmm: () => ({ name: 'qemu', needs: () => ({ memoryInMb: 1_000, tasks: 9 }) }),
    cgroups: {
      of: (_uid: string, limits: CgroupLimits) => {
        asked = limits;
        return [];
      },
    },
  } as unknown as StepPorts;
  vmm.intent('', { vm: { ...vm, spec }, entries, ports });
  return asked;
}

test('a monitor has room for all that its guest may write to disks that lie in memory', () => {
  expect(limitsWith(false)).toEqual({ memoryInMb: 1_000, tasks: 9 });
  // With the tables of a qcow2 file; a shared disk is not written to.
  expect(limitsWith(true)).toEqual({ memoryInMb: 1_000 + 650, tasks: 9 });
});
