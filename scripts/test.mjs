/**
 * Everything: set-up with what only tests need, the fast checks, the tests
 * with the host's tools, the tests that boot guests. Ends with one line:
 * `N passed, N failed, N skipped`.
 *
 *     npm test
 */
import { check, describe } from './check.mjs';
import { setup, TOOLS_PATH } from './setup.mjs';
import { asRoot, attended, isRoot, main } from './steps.mjs';
import { vitest } from './vitest.mjs';

/** They need root: bridges, taps, mounts of their own network namespaces. */
const AS_ROOT = ['host', 'e2e'];

await main('test', async () => {
  const total = { passed: 0, failed: 0, skipped: 0 };
  const add = (counts) => {
    for (const key of Object.keys(total)) total[key] += counts[key];
  };
  try {
    await setup({ tests: true, images: ['kernel', 'debian'] });
    add(await check());
    for (const project of AS_ROOT) {
      console.log(`\n${project} tests${isRoot ? '' : ', as root'}`);
      const { argv, env, counts } = vitest(project);
      env.PATH = `${env.PATH}:${TOOLS_PATH}`;
      // sudo drops most of the environment, even with -E where the policy says so.
      const kept = ['FLINTLOCK_COUNTS', 'NO_COLOR', 'PATH'].map((key) => `${key}=${env[key]}`);
      const code = await attended(asRoot(['env', ...kept, ...argv]), { env });
      add(counts(code));
    }
  } catch (cause) {
    console.error(`test: ${cause.message}`);
    total.failed++;
  }
  console.log(`\n${describe(total)}`);
  return total.failed === 0 ? 0 : 1;
});
