import { LEAST_FREE_INODES } from '../../domain/admission.ts';
import type { Check } from '../check.ts';
import { nearestDirectory } from '../look.ts';

const GIB = 2 ** 30;
/** A small image, its disk image and the copies of a few VMs fit. */
const LITTLE_BYTES = 2 * GIB;
/** Not even the database and one image fit. */
const NOTHING_BYTES = GIB / 5;

/** An image of a distribution has as many files. */
const LITTLE_INODES = 50_000;

/** Room for images and volumes. */
export const disk: Check = {
  name: 'disk',
  async examine(host) {
    const where = await nearestDirectory(host, host.stateDirectory);
    const free = await host.files.freeBytes(where);
    const inodes = await host.files.freeInodes(where);
    const files = Number.isFinite(inodes) ? ` and ${inodes} inodes` : '';
    const found = `${(free / GIB).toFixed(1)} GiB${files} free below ${where}`;
    const fix =
      inodes < LITTLE_INODES
        ? 'Remove files (df -i), or put the state on a file system with more inodes: flintlockd run --state-dir DIR'
        : 'Free some, or put the state elsewhere: flintlockd run --state-dir DIR';
    const isFull = free < NOTHING_BYTES || inodes < LEAST_FREE_INODES;
    const status = isFull ? 'fail' : free < LITTLE_BYTES || inodes < LITTLE_INODES ? 'warn' : 'ok';
    return [{ name: 'disk', status, found, fix: status === 'ok' ? '' : fix }];
  },
};
