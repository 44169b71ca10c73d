/**
 * The fuzzer: sets up what it needs, then attacks a daemon as root.
 *
 *     npm run fuzz -- --help
 */
import { join } from 'node:path';
import { asRoot, attended, guarded, main, NODE, ROOT, Stop } from './steps.mjs';

if (process.argv[1] === import.meta.filename)
  await main('fuzz', async () => {
    const args = process.argv.slice(2);
    const argv = [NODE, join(ROOT, 'test/fuzz/main.ts'), ...args];
    if (args.some((word) => ['--help', '-h'].includes(word))) return attended(argv);
    const code = await attended([process.execPath, join(ROOT, 'scripts/setup.mjs'), '--tests'], {
      stdio: [2, 2],
    });
    if (code !== 0) throw new Stop('the set-up did not succeed; what it said is above');
    return attended(asRoot(guarded(argv, { contained: true })));
  });
