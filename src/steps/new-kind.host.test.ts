import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';

const exec = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');

/** A kind that nobody knew: a directory beside the microVM's disks. */
const NOTES = `
import { z } from 'zod';
import { vmStateDirectory } from '../domain/names.ts';
import { nothing, text } from './row.ts';
import type { VmStepDef } from './step.ts';

declare module '../domain/ledger.ts' {
  interface LedgerRows {
    notes: { intent: { readonly path: string }; result: null };
  }
}

export const notes: VmStepDef<'notes'> = {
  row: { version: 1, intent: z.strictObject({ path: text }), result: nothing },
  timeoutMs: 1_000,
  lane: 'disks',
  after: ['directory'],
  onTimeout: 'Timeout',
  condition: 'DisksReady',
  atBoot: 'gone',
  wanted: ({ spec }) => (spec.labels.notes === undefined ? [] : [spec.labels.notes]),
  says: () => 'make a place for notes',
  intent: (key, { vm, ports: { names } }) => ({ path: \`\${vmStateDirectory(names, vm.uid)}/notes-\${key}\` }),
  async make({ path }, { ports: { files } }) {
    await files.makeDirectory(path, 0o700);
    return null;
  },
  unmake: ({ path }, _result, { ports: { files } }) => files.remove(path),
  expect: ({ intent: { path } }, to) => to.thing('directory', path),
};
`;

/** What a daemon with it does on a host that is only in memory, at each point where one may be killed. */
const TRIAL = `
import { FakeHost } from './test/support/fake-host.ts';

const seen = [];
for (const at of ['intent', 'act', 'mark', 'undo', 'strike'] as const) {
  const host = new FakeHost();
  const { plan } = await host.life.services.planCreate(
    { ...(await import('./test/support/fake-host.ts')).fullDraft, labels: { notes: 'mine' } },
    { uniqueId: true },
  );
  host.crashAt({ kind: 'notes', at });
  const uid = await host.create({ labels: { notes: 'mine' } });
  if (at === 'undo' || at === 'strike') {
    await host.until(uid, 'CREATED');
    await host.delete(uid);
    await host.killed();
    await host.restart();
  } else {
    await host.killed();
    await host.restart();
    await host.until(uid, 'CREATED');
  }
  const path = \`/state/vm/\${uid}/notes-mine\`;
  const known = (await host.audit()).known.filter(({ name }) => name === path);
  const isThere = host.world.paths.has(path);
  const { conditions } = host.vm(uid);
  host.world.bootId = 'boot-2';
  host.world.processes.clear();
  const isMadeAfterBoot = (): boolean => host.ledgerOf(uid).some(({ kind, made }) => kind === 'notes' && made);
  if (at === 'mark') {
    host.world.removePath(path);
    await host.restart();
    await host.untilLater(uid, 'CREATED');
    if (!isMadeAfterBoot() || !host.world.paths.has(path)) throw new Error('a boot of the host has lost it');
  }
  if (host.vm(uid).goneAt === undefined && host.vm(uid).state.is !== 'DELETING') await host.delete(uid);
  await host.until(uid, 'gone');
  const after = await host.audit();
  seen.push({
    at,
    plan: plan.filter((line) => line.startsWith('notes')),
    known: known.map(({ detail }) => detail),
    isThere,
    ready: conditions.find(({ type }) => type === 'DisksReady')?.status,
    left: [...after.leaked, ...after.missing, ...host.ledgerOf(uid)],
    isLeft: host.world.paths.has(path),
    breaches: host.world.breaches,
  });
}
process.stdout.write(JSON.stringify(seen));
`;

let directory: string;
/** The files that were changed or made. */
const touched: string[] = [];

async function change(path: string, edit: (text: string) => string): Promise<void> {
  const whole = join(directory, path);
  const before = await readFile(whole, 'utf8').catch(() => '');
  const after = edit(before);
  expect(after).not.toBe(before);
  await writeFile(whole, after);
  touched.push(path);
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flt-kind-'));
  for (const path of ['src', 'test/support', 'package.json', 'tsconfig.json'])
    await cp(join(ROOT, path), join(directory, path), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  await change('src/steps/notes.ts', () => NOTES);
  await change('src/domain/ledger.ts', (text) =>
    text.replace("  'vmm',\n] as const", "  'notes',\n  'vmm',\n] as const"),
  );
  await change('src/steps/registry.ts', (text) =>
    text
      .replace('import { probe }', "import { notes } from './notes.ts';\nimport { probe }")
      .replace('publish, metadata, vmm }', 'publish, metadata, notes, vmm }'),
  );
  return () => rm(directory, { recursive: true });
});

test('a new kind is its file, its name in the list, and a line of the registry', async () => {
  expect(touched).toHaveLength(3);
  await writeFile(
    join(directory, 'tsconfig.json'),
    JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), include: ['src/**/*.ts'], exclude: ['**/*.test.ts'] }),
  );
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  await exec(tsc, ['--pretty', 'false', '-p', directory], { cwd: directory }).catch((error: { stdout: string }) => {
    throw new Error(error.stdout.slice(0, 2_000));
  });
});

test('it is planned, made, told, audited, made again after a boot, and undone, wherever the daemon is killed', async () => {
  await writeFile(join(directory, 'trial.ts'), TRIAL);
  const { stdout } = await exec(process.execPath, [join(directory, 'trial.ts')], { cwd: directory, timeout: 120_000 });
  const made = {
    ...{ plan: ['notes mine: make a place for notes'], left: [], isLeft: false, breaches: [], ready: 'True' },
    ...{ known: ['notes'], isThere: true },
  };
  expect(JSON.parse(stdout)).toEqual([
    { at: 'intent', ...made },
    { at: 'act', ...made },
    { at: 'mark', ...made },
    { at: 'undo', ...made, known: [], isThere: false },
    { at: 'strike', ...made, known: [], isThere: false },
  ]);
});
