import { z } from 'zod';
import { allDone } from '../base/all-done.ts';
import { vmRunDirectory, vmStateDirectory } from '../domain/names.ts';
import { ownInitrdPath, writeOwnInitrd } from './own-initrd.ts';
import { nothing, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    directory: { intent: { readonly state: string; readonly run: string }; result: null };
  }
}

/** The microVM's own directories: disks, console and log, the initrd where that is its own; and its sockets. */
export const directory: VmStepDef<'directory'> = {
  row: { version: 1, intent: z.strictObject({ state: text, run: text }), result: nothing },
  timeoutMs: 180_000,
  lane: 'disks',
  // Kernel and initrd are judged before anything is made for them.
  after: ['image'],
  onTimeout: 'Timeout',
  condition: 'DisksReady',
  atBoot: 'gone', // the one below the run-time directory is
  wanted: () => [''],
  says: () => 'make directories for state and for sockets',
  intent: (_key, { vm, ports: { names } }) => ({
    state: vmStateDirectory(names, vm.uid),
    run: vmRunDirectory(names, vm.uid),
  }),
  async make({ state, run }, context) {
    const { files } = context.ports;
    await allDone([files.makeDirectory(state, 0o700), files.makeDirectory(run, 0o700)]);
    await writeOwnInitrd(state, context);
    return null;
  },
  async unmake({ state, run }, _result, { ports: { files } }) {
    await files.remove(run);
    await files.remove(state);
  },
  expect({ intent: { state, run } }, to) {
    to.thing('directory', state);
    to.thing('directory', run);
    to.thing('file', ownInitrdPath(state), false);
    to.thing('file', `${state}/.initrd.partial`, false);
    // The VMM's files come and go with it: they may be there as long as the directories are.
    for (const vmm of to.vmms)
      for (const path of vmm.paths({ stateDirectory: state, runDirectory: run })) to.thing('file', path, false);
  },
};
