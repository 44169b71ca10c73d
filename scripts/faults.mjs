/**
 * Breaks a real daemon at every step of its ledgers and looks from outside at
 * what it leaves: sets up what that needs, then walks as root.
 *
 *     npm run faults -- --help
 */
import { join } from 'node:path';
import { asRoot, attended, guarded, main, NODE, ROOT, Stop } from './steps.mjs';

/** The walk's own command; its exit status is 0, 1 or 2, see its --help. */
const faults = (args) => [NODE, join(ROOT, 'test/faults/main.ts'), ...args];

await main('faults', async () => {
  const args = process.argv.slice(2);
  if (args.some((word) => ['--help', '-h'].includes(word))) return attended(faults(args));
  const setup = [join(ROOT, 'scripts/setup.mjs'), '--tests'];
  const code = await attended([process.execPath, ...setup], { stdio: [2, 2] });
  if (code !== 0) throw new Stop('the set-up did not succeed; what it said is above');
  return attended(asRoot(guarded(faults(args), { contained: true })));
});
