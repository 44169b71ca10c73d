/**
 * Makes dist/, what a package runs: src/ and guest/ as JavaScript, because
 * Node strips no types below node_modules; and each program in one file.
 *
 *     npm run build
 */
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.mjs';
import { main, NODE, ROOT, step } from './steps.mjs';

const TSC = join(ROOT, 'node_modules/.bin/tsc');
const DIST = join(ROOT, 'dist');

await main({ name: 'build', file: import.meta.filename }, async () => {
  rmSync(DIST, { recursive: true, force: true });
  await step('compiling the programs', [TSC, '--project', 'tsconfig.build.json']);
  await step('compiling the makers of images', [TSC, '--project', 'tsconfig.build-guest.json']);
  await step('compiling the guest agent', [NODE, 'guest/agent.ts']);
  await bundle('dist');
  // What goes into the images as it is.
  for (const entry of readdirSync(join(ROOT, 'guest'), { withFileTypes: true }))
    if (entry.isDirectory())
      cpSync(join(ROOT, 'guest', entry.name), join(DIST, 'guest', entry.name), {
        recursive: true,
        verbatimSymlinks: true,
        // Of the agent the program: without its sources nobody compiles it anew.
        filter: (path) => !/\.[ch]$/.test(path),
      });
});
