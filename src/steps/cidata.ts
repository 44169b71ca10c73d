import { z } from 'zod';
import { metadataBy } from '../domain/metadata-rules.ts';
import { vmStateDirectory } from '../domain/names.ts';
import { nicsOf } from './managed.ts';
import { text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    cidata: { intent: { readonly path: string }; result: { readonly path: string } };
  }
}

/** The disk with the metadata of a microVM none of whose interfaces may ask for it. The guest reads it only. */
export const cidata: VmStepDef<'cidata'> = {
  row: { version: 1, intent: z.strictObject({ path: text }), result: z.strictObject({ path: text }) },
  timeoutMs: 180_000,
  lane: 'disks',
  after: ['image', 'directory'],
  onTimeout: 'Timeout',
  condition: 'DisksReady',
  atBoot: 'stays',
  wanted: ({ spec }) => (metadataBy(spec).disk ? [''] : []),
  says: () => 'make a disk with the metadata, for cloud-init',
  intent: (_key, { vm, ports: { names } }) => ({ path: `${vmStateDirectory(names, vm.uid)}/cidata.img` }),
  async make({ path }, { vm, ports, signal }) {
    await ports.cidata.make(path, vm, nicsOf(ports, vm), signal);
    return { path };
  },
  unmake: ({ path }, _result, { ports: { cidata: disks } }) => disks.remove(path),
  expect({ intent: { path }, made }, to) {
    to.thing('file', path);
    if (made) return;
    to.thing('directory', `${path}.files`, false);
    to.within(`${path}.files/`);
  },
};
