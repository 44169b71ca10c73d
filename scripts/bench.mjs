/**
 * What Flintlock costs, beside what it must cost: sets up what that needs,
 * builds the package where it is measured, then measures, as root where that
 * can be had. What is said on the way goes to standard error: standard output
 * is the bench's own.
 *
 *     npm run bench -- --help
 *     npm run bench:check -- --help
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { asRoot, attended, guarded, isRoot, main, NODE, ROOT, Stop } from './steps.mjs';

/** Rows of the package as it is installed. */
const PACKED = ['start-packed', 'memory-packed', 'cli-packed'];

await main('bench', async () => {
  const args = process.argv.slice(2);
  const argv = [NODE, join(ROOT, 'bench/main.ts'), ...args];
  if (['--help', '-h', '--list', '--from'].some((word) => args.includes(word))) return attended(argv);
  await silently('the set-up', 'setup.mjs');
  const only = args.includes('--only') ? (args[args.indexOf('--only') + 1] ?? '') : '';
  if (PACKED.some((name) => name.startsWith(only))) await silently('the build', 'build.mjs');
  const canBeRoot = isRoot || spawnSync('sudo', ['-v'], { stdio: ['inherit', 2, 2] }).status === 0;
  if (!canBeRoot) console.error('bench: without root: what needs it is left out');
  return attended(canBeRoot ? asRoot(guarded(argv, { contained: true })) : guarded(argv));
});

async function silently(what, script) {
  const argv = [process.execPath, join(ROOT, 'scripts', script)];
  if ((await attended(argv, { stdio: [2, 2] })) !== 0) throw new Stop(`${what} did not succeed; what it said is above`);
}
