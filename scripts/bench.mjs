/**
 * How long a guest's first line takes: sets up what that needs, then measures
 * as root.
 *
 *     npm run bench -- [ROUNDS]
 */
import { join } from 'node:path';
import { setup } from './setup.mjs';
import { asRoot, attended, guarded, main, NODE, ROOT } from './steps.mjs';

await main('bench', async () => {
  await setup();
  return attended(
    asRoot(guarded([NODE, join(ROOT, 'bench/first-line.ts'), ...process.argv.slice(2)], { contained: true })),
  );
});
