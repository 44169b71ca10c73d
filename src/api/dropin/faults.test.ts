import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { Fault } from '../../domain/fault.ts';
import { MicroVMSpecSchema } from '../../gen/dropin/types/microvm_pb.ts';
import { inOurNames } from './faults.ts';

const spec = create(MicroVMSpecSchema, { rootVolume: { id: 'root' }, additionalVolumes: [{ id: 'data' }] });
const violations = [
  { field: 'volumes[0].source.container_source', description: 'no' },
  { field: 'volumes[1].source.container_source', description: 'no' },
];
const ours = [
  { field: 'root_volume.source.container_source', description: 'no' },
  { field: 'additional_volumes[0].source.container_source', description: 'no' },
];

test('what is wrong is told by the names of this API', () => {
  expect(inOurNames(Fault.invalid(violations), spec)).toMatchObject({ kind: 'invalid', violations: ours });
});

test('what the state of the host forbids stays that, with its reason', () => {
  const message = 'Cannot create microVM default/web: image "x:1": pull it first';
  const fault = new Fault('refused', message, { reason: 'ImageNotPulled', violations });
  expect(inOurNames(fault, spec)).toMatchObject({
    ...{ kind: 'refused', reason: 'ImageNotPulled', terminal: true, message, violations: ours },
  });
  const other = new Fault('full', 'no room');
  expect(inOurNames(other, spec)).toBe(other);
});
