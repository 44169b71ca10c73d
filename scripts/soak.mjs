/**
 * A bad day for a daemon: sets up what that needs, then lives through it as root.
 *
 *     npm run soak -- --help
 */
import { join } from 'node:path';
import { asRoot, attended, guarded, main, NODE, ROOT, Stop } from './steps.mjs';

await main('soak', async () => {
  const args = process.argv.slice(2);
  const argv = [NODE, join(ROOT, 'test/soak/main.ts'), ...args];
  if (args.some((word) => ['--help', '-h'].includes(word))) return attended(argv);
  const setup = [join(ROOT, 'scripts/setup.mjs'), '--tests'];
  const code = await attended([process.execPath, ...setup], { stdio: [2, 2] });
  if (code !== 0) throw new Stop('the set-up did not succeed; what it said is above');
  return attended(asRoot(guarded(argv, { contained: true })));
});
