import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
/** Those that are programs of their own: the help of others is of vitest, biome or tsc. */
const OWN = Object.entries(scripts).flatMap(([name, words]) => {
  const file = /^exec node (scripts\/\S+)$/.exec(words)?.[1];
  return file === undefined || name === 'prepack' ? [] : [{ name, file }];
});
const exec = promisify(execFile);

test.for(OWN)('npm run $name -- --help says how it is used, and does nothing else', async ({ name, file }) => {
  for (const word of ['--help', '-h']) {
    const { stdout } = await exec(process.execPath, [join(ROOT, file), word], { timeout: 20_000 });
    expect(stdout).toMatch(new RegExp(`(?:npm (?:run )?|node scripts/)${name}\\b`));
    expect(stdout).not.toMatch(/\d+ passed|in place|… \d+ s|\/\*\*|^ \*/m);
  }
});
