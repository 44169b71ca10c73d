import type { Check } from '../check.ts';
import { nearestDirectory } from '../look.ts';

const GIB = 2 ** 30;
/** A small image, its disk image and the copies of a few VMs fit. */
const LITTLE_BYTES = 2 * GIB;
/** Not even the database and one image fit. */
const NOTHING_BYTES = GIB / 5;

/** Room for images and volumes. */
export const disk: Check = {
  name: 'disk',
  async examine(host) {
    const where = await nearestDirectory(host, host.stateDirectory);
    const free = await host.files.freeBytes(where);
    const found = `${(free / GIB).toFixed(1)} GiB free below ${where}`;
    const fix = 'Free some, or put the state elsewhere: flintlockd run --state-dir DIR';
    const status = free < NOTHING_BYTES ? 'fail' : free < LITTLE_BYTES ? 'warn' : 'ok';
    return [{ name: 'disk', status, found, fix: status === 'ok' ? '' : fix }];
  },
};
