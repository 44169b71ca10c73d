/** How the scripts run vitest, and count. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NODE, ROOT } from './steps.mjs';

const CACHE = join(ROOT, '.cache');

/**
 * Where a run is to leave its counts; see count-reporter.mjs.
 *
 * @returns the environment; `counts(code)` to be called once when it has ended
 */
export function counted() {
  // Not with what is temporary: those who write have a directory of their own for that.
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, '.counts-'));
  const file = join(scratch, 'counts.json');
  // Also where nobody comes to count.
  const remove = () => rmSync(scratch, { recursive: true, force: true });
  process.once('exit', remove);
  return {
    // Colours would be mixed into what is shown later.
    env: { ...process.env, FLINTLOCK_COUNTS: file, NO_COLOR: '1' },
    counts(code) {
      const counts = { passed: 0, failed: 0, skipped: 0, ...parse(file) };
      remove();
      // It died, or failed for a reason of its own.
      if (code !== 0 && counts.failed === 0) counts.failed = 1;
      return counts;
    },
  };
}

/** The pinned Node's: vitest's own first line takes whatever Node is in PATH. */
export const vitestArgv = (project) => [NODE, 'node_modules/vitest/vitest.mjs', 'run', '--project', project];

/**
 * Prepares a run of one of the projects of vitest.config.ts.
 *
 * @returns the command with what `counted` says
 */
export function vitest(project) {
  const reporters = ['--reporter=default', `--reporter=${join(ROOT, 'scripts/count-reporter.mjs')}`];
  return {
    argv: [...vitestArgv(project), '--passWithNoTests', ...reporters],
    ...counted(),
  };
}

function parse(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
}
