/** The scripts of package.json that no other test and no check runs, each in its smallest form. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ROOT } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';
import { SCRIPT_FORMS } from '../support/script-forms.ts';

const exec = promisify(execFile);

/** Of a machine that is busy with the other tests, without KVM. */
const PATIENCE_MS = 600_000;

/** The proofs run these whole, the README's guide runs `quickstart`; `ends.test.ts` starts and ends them. */
const IN_PROOFS = ['soak', 'watch-proof', 'fuzz', 'quickstart'];

const smallest = Object.entries(SCRIPT_FORMS).filter(([, { by }]) => by === 'scripts');

test.for(smallest)('npm run %s', { timeout: PATIENCE_MS }, async ([name, { args = [] }], context) => {
  leaveToProofs(context, IN_PROOFS.includes(name));
  const ran = await exec('npm', ['run', name, ...(args.length > 0 ? ['--', ...args] : [])], {
    ...{ cwd: ROOT, timeout: PATIENCE_MS, killSignal: 'SIGTERM', maxBuffer: 64 << 20 },
    env: { ...process.env, NO_COLOR: '1' },
  }).then(
    ({ stdout, stderr }) => ({ code: 0, text: `${stdout}${stderr}` }),
    ({ code, stdout, stderr }) => ({ code, text: `${stdout}${stderr}` }),
  );
  expect(ran.code, ran.text.slice(-4_000)).toBe(0);
});
