/**
 * Runs a command on a host that has KVM, whether this machine has it or not:
 * sets up what that needs, then starts the nested host. Root is needed only
 * where the set-up installs packages, and by what may read root's files alone.
 * What is said on the way goes to standard error: standard output is the
 * command's own.
 *
 *     npm run lab -- --help
 */
import { join } from 'node:path';
import { attended, guarded, main, NODE, ROOT, Stop } from './steps.mjs';

await main('lab', async () => {
  const args = process.argv.slice(2);
  const argv = [NODE, join(ROOT, 'test/lab/main.ts'), ...args];
  if (['--help', '-h'].includes(args[0])) return attended(argv);
  const setup = [join(ROOT, 'scripts/setup.mjs'), '--tests', '--lab'];
  const code = await attended([process.execPath, ...setup], { stdio: [2, 2] });
  if (code !== 0) throw new Stop('the set-up did not succeed; what it said is above');
  // Not contained: it would see another /tmp than whoever calls it. Instead each ends with what started it.
  return attended(guarded(['setpriv', '--pdeathsig', 'KILL', '--', ...argv]));
});
