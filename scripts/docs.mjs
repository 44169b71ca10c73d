/**
 * Makes the reference pages of docs/ from what the programs are made of: the
 * daemon's settings, the command lines, the protos with their comments.
 *
 *   npm run docs                     writes them
 *   node scripts/docs.mjs --check    changes nothing; fails when one is not what it would be
 *
 * It reads the sources themselves, so it runs on the pinned Node.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { apiPage } from './docs/api.mjs';
import { cliPage } from './docs/cli.mjs';
import { configurationPage } from './docs/configuration.mjs';
import { conformancePage } from './docs/conformance.mjs';
import { dropInPage } from './docs/drop-in.mjs';
import { descriptors } from './docs/protos.mjs';
import { providersPage } from './docs/providers.mjs';
import { specPage } from './docs/spec.mjs';
import { main, ROOT, Stop } from './steps.mjs';

async function pages() {
  const registry = descriptors();
  return new Map([
    ['docs/configuration.md', configurationPage()],
    ['docs/reference/cli.md', await cliPage()],
    ['docs/reference/spec.md', specPage(registry)],
    ['docs/reference/providers.md', providersPage()],
    ['docs/reference/conformance.md', conformancePage()],
    ['docs/reference/api.md', apiPage(registry)],
    ['docs/reference/drop-in.md', dropInPage(registry)],
  ]);
}

await main({ name: 'docs', file: import.meta.filename }, async () => {
  const isCheck = process.argv.includes('--check');
  const stale = [];
  for (const [path, made] of await pages()) {
    const text = `${made.trimEnd()}\n`;
    const file = join(ROOT, path);
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
    stale.push(path);
    if (isCheck) continue;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  if (isCheck && stale.length > 0) throw new Stop(`${stale.join(', ')}: not what the sources make; run "npm run docs"`);
  if (!isCheck) console.log(stale.length > 0 ? `docs: wrote ${stale.join(', ')}` : 'docs: everything is in step');
});
