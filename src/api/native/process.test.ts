import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { sampleSpecView, sampleVm } from '../../../test/support/fake-services.ts';
import { toProcess } from '../../domain/check-process.ts';
import type { State } from '../../domain/microvm.ts';
import { MicroVMSpecSchema, type ProcessSchema } from '../../gen/types/microvm_pb.ts';
import { specToDraft } from './from-wire.ts';
import { vmToWire } from './to-wire.ts';

const given: MessageInitShape<typeof ProcessSchema> = {
  ...{ entrypoint: ['/x'], args: ['a', ''], environment: { A: 'b' }, user: 'app', directory: '/srv' },
};

test.each([given, { ...given, entrypoint: [''] }, { ...given, entrypoint: [], args: [] }, {}])(
  'what a spec says of its program is shown as it was given: %j',
  (process) => {
    const spec = create(MicroVMSpecSchema, { process });
    const { process: draft } = specToDraft(spec);
    if (!draft) throw new Error('there is none');
    const shown = vmToWire(sampleVm({ spec: { ...sampleSpecView, process: toProcess(draft) } }));
    expect(shown.spec?.process).toEqual(spec.process);
  },
);

test('without one there is none', () => {
  expect(specToDraft(create(MicroVMSpecSchema))).not.toHaveProperty('process');
  expect(vmToWire(sampleVm()).spec?.process).toBeUndefined();
});

test('an exit code is told once its run is over', () => {
  const lastEnd = { reason: 'GuestShutdown', message: 'over', consoleTail: '', at: 1, exitStatus: 3 } as const;
  const stopped: State = { is: 'STOPPED', reason: 'GuestShutdown', message: 'over', consoleTail: '' };
  const running: State = { is: 'CREATED', reason: 'Running', message: 'The guest runs' };
  expect(vmToWire(sampleVm({ state: stopped, lastEnd })).status?.exitCode).toBe(3);
  expect(vmToWire(sampleVm({ state: running, lastEnd })).status?.exitCode).toBeUndefined();
  expect(vmToWire(sampleVm({ state: stopped })).status?.exitCode).toBeUndefined();
});
