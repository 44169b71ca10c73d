/**
 * The fast checks, in under a minute: form and lint, types, generated code,
 * what nothing uses, unit tests (with the architecture's rules among them).
 *
 *     npm run check
 */

import { join } from 'node:path';
import { setup } from './setup.mjs';
import { attempt, guarded, main, NODE, ROOT, Stop } from './steps.mjs';
import { vitest } from './vitest.mjs';

/** What has not changed is not looked at again: 27 s of the processor become 3, and 19 where a type of the domain has. */
const REMEMBERING = ['--incremental', '--tsBuildInfoFile', join(ROOT, '.cache/types.tsbuildinfo')];

const bin = (name) => `node_modules/.bin/${name}`;

/**
 * Runs all parts and prints what those that failed said.
 *
 * @returns one count: a part that is no test run counts only when it fails
 */
export async function check() {
  const begin = Date.now();
  const unit = vitest('unit');
  const parts = [
    { name: 'format and lint', argv: [bin('biome'), 'check', '--error-on-warnings', '--colors=off'] },
    { name: 'types', argv: [bin('tsc'), '--pretty', 'false', ...REMEMBERING] },
    // Of what goes into the package: it may not lean on what does not.
    {
      name: 'types of the makers of images',
      argv: [bin('tsc'), '--pretty', 'false', '--noEmit', '--project', 'tsconfig.build-guest.json'],
    },
    { name: 'generated code', argv: [NODE, 'scripts/generate.mjs', '--check'] },
    { name: 'reference pages', argv: [NODE, 'scripts/docs.mjs', '--check'] },
    { name: 'unused code', argv: [NODE, 'node_modules/knip/bin/knip.js', '--no-progress'] },
    { name: 'unit tests', argv: guarded(unit.argv), env: unit.env, counts: unit.counts },
  ];
  const total = { passed: 0, failed: 0, skipped: 0 };
  // Two at a time, the longest first: more only get in each other's way on a small machine.
  const queue = [...parts].reverse();
  const work = async () => {
    for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
      const { output, code, seconds } = await attempt(part.name, part.argv, part.env ? { env: part.env } : {});
      const counts = part.counts?.(code) ?? { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 };
      for (const key of Object.keys(total)) total[key] += counts[key];
      const detail = part.counts ? `, ${describe(counts)}` : '';
      console.log(`${code === 0 ? 'ok    ' : 'FAILED'}  ${part.name} (${seconds.toFixed(1)} s${detail})`);
      if (code !== 0) console.log(output.trimEnd().replace(/^/gm, '        '));
    }
  };
  await Promise.all([work(), work()]);
  console.log(`check: ${total.failed === 0 ? 'ok' : 'FAILED'} in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
  return total;
}

export function describe({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

if (process.argv[1] === import.meta.filename)
  await main({ name: 'check', file: import.meta.filename }, async () => {
    await setup();
    if ((await check()).failed > 0) throw new Stop('some checks failed; what they said is above');
  });
