import { vmStateDirectory } from '../domain/names.ts';
import { nicsOf } from './managed.ts';
import type { StepDef } from './step.ts';

/** The disk with the metadata of a microVM none of whose interfaces may ask for it. The guest reads it only. */
export const cidata: StepDef<'cidata', { path: string }, { path: string }> = {
  timeoutMs: 180_000,
  lane: 'disks',
  onTimeout: 'Timeout',
  intent: (_step, { vm, ports: { names } }) => ({ path: `${vmStateDirectory(names, vm.uid)}/cidata.img` }),
  async make({ path }, { vm, ports, signal }) {
    await ports.cidata.make(path, vm, nicsOf(ports, vm), signal);
    return { path };
  },
  unmake: ({ path }, _result, { ports: { cidata: disks } }) => disks.remove(path),
};
