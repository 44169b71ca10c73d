/**
 * What is too long for `npm test`: every case of the tests of which that runs a
 * sample, each step of the ledgers with the daemon killed there, watchers
 * compared with the database, hostile requests, and a bad day for a daemon.
 *
 *     npm run proofs [-- NAME …]
 */
import { join } from 'node:path';
import { bundleInStep, setup, TOOLS_PATH } from './setup.mjs';
import { asRoot, attended, guarded, isRoot, main, ROOT, Stop } from './steps.mjs';
import { vitestArgv } from './vitest.mjs';

const script = (name) => [process.execPath, join(ROOT, `scripts/${name}.mjs`)];
/** All cases, whoever stands for them elsewhere: see test/support/proofs.ts. */
const whole = (project) =>
  asRoot([
    ...['env', `PATH=${process.env.PATH}:${TOOLS_PATH}`, 'FLINTLOCK_PROOFS=1'],
    ...guarded(vitestArgv(project), { contained: true }),
  ]);

/** In the order in which they are run; minutes on two cores. */
const PROOFS = {
  host: { minutes: 15, is: "every test with the host's tools", argv: () => whole('host') },
  e2e: { minutes: 25, is: 'every test that boots guests', argv: () => whole('e2e') },
  conformance: { minutes: 8, is: 'every row of the conformance suite', argv: () => script('conformance') },
  ...Object.fromEntries(
    ['firecracker', 'cloudhypervisor'].map((name) => [
      `conformance-${name}`,
      {
        minutes: 4,
        is: `the same with a stand-in of ${name}, by what it was told`,
        argv: () => [...script('conformance'), '--provider', name],
      },
    ]),
  ),
  faults: { minutes: 30, is: 'the daemon killed at every step of its ledgers', argv: () => script('faults') },
  'watch-proof': { minutes: 2, is: 'watchers, each compared with the database', argv: () => script('watch-proof') },
  fuzz: { minutes: 15, is: '100,000 hostile requests', argv: () => script('fuzz') },
  soak: { minutes: 20, is: 'creates, kills, full disks and clock jumps against a model', argv: () => script('soak') },
};

await main('proofs', async () => {
  const given = process.argv.slice(2);
  const width = Math.max(...Object.keys(PROOFS).map(({ length }) => length));
  if (given.includes('--help') || given.includes('-h')) {
    const rows = Object.entries(PROOFS).map(
      ([name, { minutes, is }]) => `  ${name.padEnd(width)}  ${is}, ${minutes} min`,
    );
    console.log(
      `usage: npm run proofs [-- NAME …]\n\nWithout names all of these, about two hours on two cores:\n\n${rows.join('\n')}`,
    );
    return 0;
  }
  const unknown = given.find((name) => !Object.hasOwn(PROOFS, name));
  if (unknown !== undefined)
    throw new Stop(`there is no proof "${unknown}"; there are ${Object.keys(PROOFS).join(', ')}`);
  if (!isRoot) console.log('most of it is run as root, by sudo');
  await setup({ tests: true, images: ['kernel', 'debian', 'stock', 'stock-bookworm'] });
  await bundleInStep();
  const ended = [];
  for (const name of given.length > 0 ? [...new Set(given)] : Object.keys(PROOFS)) {
    console.log(`\n--- ${name}: ${PROOFS[name].is}`);
    const begin = Date.now();
    const code = await attended(PROOFS[name].argv());
    ended.push({ name, code, seconds: Math.round((Date.now() - begin) / 1000) });
  }
  console.log('');
  for (const { name, code, seconds } of ended)
    console.log(`${code === 0 ? 'ok    ' : 'FAILED'}  ${name.padEnd(width)} (${seconds} s)`);
  return ended.every(({ code }) => code === 0) ? 0 : 1;
});
