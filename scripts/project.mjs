/**
 * One of the projects of vitest.config.ts, or some of its files:
 *
 *     npm run unit|host|e2e -- [FILE …]
 *
 * All but the unit tests need root. What they start ends with them.
 */
import { TOOLS_PATH } from './setup.mjs';
import { asRoot, attended, guarded, main } from './steps.mjs';
import { vitestArgv } from './vitest.mjs';

const [project, ...args] = process.argv.slice(2);
await main(project, () => {
  const argv = [...vitestArgv(project), ...args];
  if (project === 'unit') return attended(guarded(argv));
  const env = ['env', `PATH=${process.env.PATH}:${TOOLS_PATH}`];
  return attended(asRoot([...env, ...guarded(argv, { contained: true })]));
});
