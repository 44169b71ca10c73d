import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { LEDGER_KINDS } from '../../src/domain/ledger.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** What runs, plans, stores, compares and restores entries of all kinds: it asks the kind and knows none. */
const KNOWS_NO_KIND = [
  'src/engine/step-runner.ts',
  'src/engine/host-step.ts',
  'src/engine/{new-boot,restore-ports}.ts',
  'src/engine/audit/*.ts',
  'src/images/ledgered.ts',
  'src/ports/ledger.ts',
  'src/ports/fault-points.ts',
  'src/steps/{expecting,facts,plan,row,step}.ts',
  'src/store/*.ts',
];
/** Where the word is another one, or a kind is meant indeed: why. */
const MAY_NAME: Readonly<Record<string, string>> = {
  'src/engine/audit/audit.ts directory': 'a thing on the host',
  'src/engine/audit/enumerate.ts directory': 'a thing on the host',
  'src/engine/audit/thing.ts directory': 'a thing on the host',
  'src/steps/expecting.ts directory': 'a thing on the host',
  'src/engine/audit/without-entry.ts golden': 'a directory of the image cache',
  'src/steps/step.ts vmm': 'a lane',
  'src/steps/step.ts bridge': 'whose look-out mends it',
  'src/engine/new-boot.ts vmm': 'the identity of a process tells the boot',
  'src/store/promises.ts vmm': 'a run holds what it was promised until its end is proved',
};

test('what works with every kind names none: a new one changes nothing there', () => {
  const files = globSync(KNOWS_NO_KIND, { cwd: ROOT }).filter((path) => !path.endsWith('.test.ts'));
  expect(files.length).toBeGreaterThan(12);
  const named = files.flatMap((path) => {
    const text = readFileSync(resolve(ROOT, path), 'utf8');
    return LEDGER_KINDS.filter((kind) => text.includes(`'${kind}'`)).map((kind) => `${path} ${kind}`);
  });
  expect(named.toSorted()).toEqual(Object.keys(MAY_NAME).toSorted());
});

test('each kind has its file, under its name', () => {
  const files = new Set(globSync('src/steps/*.ts', { cwd: ROOT }));
  expect(LEDGER_KINDS.filter((kind) => !files.has(`src/steps/${kind}.ts`))).toEqual([]);
  for (const kind of LEDGER_KINDS) {
    const text = readFileSync(resolve(ROOT, `src/steps/${kind}.ts`), 'utf8');
    expect(text).toMatch(new RegExp(`interface LedgerRows \\{[^}]*\\b'?${kind}'?: \\{`));
  }
});
