import { vmRunDirectory, vmStateDirectory } from '../domain/names.ts';
import type { StepDef } from './step.ts';

/** The microVM's own directories: disks, console and log; and its sockets. */
export const directory: StepDef<'directory', { state: string; run: string }, null> = {
  timeoutMs: 180_000,
  lane: 'disks',
  onTimeout: 'Timeout',
  intent: (_step, { vm, ports: { names } }) => ({
    state: vmStateDirectory(names, vm.uid),
    run: vmRunDirectory(names, vm.uid),
  }),
  async make({ state, run }, { ports: { files } }) {
    await files.makeDirectory(state, 0o700);
    await files.makeDirectory(run, 0o700);
    return null;
  },
  async unmake({ state, run }, _result, { ports: { files } }) {
    await files.remove(run);
    await files.remove(state);
  },
};
