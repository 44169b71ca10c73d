/**
 * Everything: set-up with what only tests need, the fast checks, the tests
 * with the host's tools, the tests that boot guests, the conformance suite, of
 * which each row counts. Ends with one line:
 * `N passed, N failed, N skipped`.
 *
 *     npm test
 */
import { check, describe } from './check.mjs';
import { conformance } from './conformance.mjs';
import { setup, TOOLS_PATH } from './setup.mjs';
import { asRoot, attended, guarded, isRoot, main } from './steps.mjs';
import { counted, vitest } from './vitest.mjs';

/** They need root: bridges, taps, mounts of their own network namespaces. */
const AS_ROOT = ['host', 'e2e'];

await main('test', async () => {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const add = (counts) => {
    for (const key of Object.keys(total)) total[key] += counts[key];
  };
  try {
    await setup({ tests: true, images: ['kernel', 'debian', 'stock'], lab: true });
    add(await check());
    const runs = AS_ROOT.map((project) => ({ what: `${project} tests`, prepare: () => vitest(project) }));
    runs.push({ what: 'conformance', prepare: () => ({ argv: conformance(), ...counted() }) });
    for (const { what, prepare } of runs) {
      console.log(`\n${what}${isRoot ? '' : ', as root'}`);
      const { argv, env, counts } = prepare();
      env.PATH = `${env.PATH}:${TOOLS_PATH}`;
      // sudo drops most of the environment, even with -E where the policy says so.
      const kept = ['FLINTLOCK_COUNTS', 'NO_COLOR', 'PATH', 'CI'].flatMap((key) =>
        key in env ? `${key}=${env[key]}` : [],
      );
      const code = await attended(asRoot(['env', ...kept, ...guarded(argv, { contained: true })]), { env });
      add(counts(code));
    }
  } catch (cause) {
    console.error(`test: ${cause.message}`);
    total.failed++;
  }
  console.log(`\n${describe(total)}`);
  return total.failed === 0 ? 0 : 1;
});
