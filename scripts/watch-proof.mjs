/**
 * Watchers, each compared with what the database holds; as root also those of
 * a daemon that is killed.
 *
 *     npm run watch-proof [-- [--small] [SEED]]
 */
import { join } from 'node:path';
import { setup } from './setup.mjs';
import { attended, guarded, isRoot, main, NODE, ROOT } from './steps.mjs';

await main('watch-proof', async () => {
  await setup();
  const argv = [NODE, join(ROOT, 'test/watch/main.ts'), ...process.argv.slice(2)];
  return attended(guarded(argv, { contained: isRoot }));
});
