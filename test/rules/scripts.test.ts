import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SCRIPT_FORMS } from '../support/script-forms.ts';

const ROOT = join(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

test('each script of package.json is run by somebody', () => {
  expect(Object.keys(SCRIPT_FORMS).toSorted()).toEqual(Object.keys(scripts).toSorted());
});

test('whoever runs one is there, and names it', () => {
  for (const [name, { by, args }] of Object.entries(SCRIPT_FORMS)) {
    if (by === 'scripts') expect(args, name).toBeDefined();
    for (const word of args ?? [])
      if (word.endsWith('.test.ts')) expect(existsSync(join(ROOT, word)), `${name}: ${word}`).toBe(true);
    const file = /^(?:scripts|test)\/[\w./-]+\.(?:mjs|test\.ts)/.exec(by)?.[0];
    if (file === undefined) continue;
    expect(existsSync(join(ROOT, file)), `${name}: ${file}`).toBe(true);
    if (!by.endsWith('the same command')) continue;
    const [program = '', ...rest] = (scripts[name] ?? '').replace(/^exec node /, '').split(' ');
    const text = readFileSync(join(ROOT, file), 'utf8');
    const word = program === 'scripts/project.mjs' ? (rest[0] ?? '') : program.replace(/^scripts\//, '');
    expect(text, `${file} does not run ${name}`).toContain(word);
  }
});

test('what starts something is guarded: by one piece, which leaves nothing', () => {
  for (const [name, { spanMs }] of Object.entries(SCRIPT_FORMS)) {
    const file = /^exec node (scripts\/\S+\.mjs)/.exec(scripts[name] ?? '')?.[1];
    if (spanMs === undefined) continue;
    expect(file, `${name} is a script of ours`).toBeDefined();
    const text = readFileSync(join(ROOT, file ?? ''), 'utf8');
    expect(text, `${file} is ended by main of steps.mjs`).toMatch(/\bmain\((?:'|project|\{ name: ')/);
    if (!['setup', 'images'].includes(name)) expect(text, `${file} starts it by guarded()`).toContain('guarded(');
  }
});
