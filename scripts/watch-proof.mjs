/**
 * Watchers, each compared with what the database holds; as root also those of
 * a daemon that is killed.
 *
 *     npm run watch-proof -- --help
 */
import { join } from 'node:path';
import { setup } from './setup.mjs';
import { attended, guarded, isRoot, main, NODE, ROOT } from './steps.mjs';

await main('watch-proof', async () => {
  const args = process.argv.slice(2);
  const argv = [NODE, join(ROOT, 'test/watch/main.ts'), ...args];
  if (args.some((word) => ['--help', '-h'].includes(word))) return attended(argv);
  await setup();
  return attended(guarded(argv, { contained: isRoot }));
});
