/**
 * Everything: set-up with what only tests need, the fast checks, the tests
 * with the host's tools, the tests that boot guests, the conformance suite, of
 * which each row counts. Ends with one line:
 * `N passed, N failed, N skipped`.
 *
 * What only guests need, a kernel that is compiled and roots of Debian, is made
 * beside what needs none of it.
 *
 *     npm test
 */
import { check, describe } from './check.mjs';
import { conformance } from './conformance.mjs';
import { bundleInStep, imagesBeside, setup, TOOLS_PATH } from './setup.mjs';
import { asRoot, attended, guarded, isRoot, main } from './steps.mjs';
import { counted, vitest } from './vitest.mjs';

/** Of the tests that boot guests; the others have the demo images. */
const IMAGES = ['kernel', 'debian', 'stock'];

/** As root: bridges, taps, mounts of their own network namespaces. */
async function counts({ what, prepare }) {
  console.log(`\n${what}${isRoot ? '' : ', as root'}`);
  const { argv, env, counts: countsOf } = prepare();
  env.PATH = `${env.PATH}:${TOOLS_PATH}`;
  // sudo drops most of the environment, even with -E where the policy says so.
  const kept = ['FLINTLOCK_COUNTS', 'NO_COLOR', 'PATH', 'CI'].flatMap((key) =>
    key in env ? `${key}=${env[key]}` : [],
  );
  return countsOf(await attended(asRoot(['env', ...kept, ...guarded(argv, { contained: true })]), { env }));
}
const project = (name) => ({ what: `${name} tests`, prepare: () => vitest(name) });

await main({ name: 'test', file: import.meta.filename }, async () => {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const add = (some) => {
    for (const key of Object.keys(total)) total[key] += some[key];
  };
  try {
    await setup({ tests: true, lab: true, later: IMAGES });
    const untilMade = imagesBeside(IMAGES);
    // Hundreds of daemons and thousands of commands are started; a change of the sources has its bundle anew.
    await bundleInStep();
    add(await check());
    add(await counts(project('host')));
    await untilMade();
    add(await counts(project('e2e')));
    add(
      await counts({
        what: 'conformance',
        prepare: () => ({ argv: conformance(['--sample', '--parallel', '2']), ...counted() }),
      }),
    );
  } catch (cause) {
    console.error(`test: ${cause.message}`);
    total.failed++;
  }
  console.log(`\n${describe(total)}`);
  return total.failed === 0 ? 0 : 1;
});
