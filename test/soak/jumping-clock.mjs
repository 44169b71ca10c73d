/**
 * Preloaded into a daemon under test (`NODE_OPTIONS=--import …`): its clock is
 * off by as many milliseconds as the file FLINTLOCK_TEST_CLOCK says, and jumps
 * when that changes. Timers go on as they were, as when a host's clock is set.
 */
import { readFileSync } from 'node:fs';

const file = process.env.FLINTLOCK_TEST_CLOCK;
if (file !== undefined) {
  const now = Date.now;
  let offset = 0;
  const read = () => {
    try {
      offset = Number(readFileSync(file, 'utf8')) || 0;
    } catch {
      // Not there yet: no jump.
    }
  };
  read();
  setInterval(read, 100).unref();
  Date.now = () => now() + offset;
}
