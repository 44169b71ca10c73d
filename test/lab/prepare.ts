/**
 * Makes what a nested host is started with, below .cache/lab: Debian's kernel,
 * its modules, an initrd without the job, and images for a guest of its own:
 *
 *     node test/lab/prepare.ts DIRECTORY PACKAGES STAMP
 *
 * DIRECTORY is replaced whole or not at all; STAMP is written into it, as the
 * file `stamp`. PACKAGES is a directory for packages. Exit status 75 means that apt's
 * lists are missing or too old: after `apt-get update` it may work.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fetchPackage } from '../../guest/apt.ts';
import { writeGuest } from './guest.ts';
import { writeKernel } from './kernel.ts';

/** Of sysexits.h: EX_TEMPFAIL. */
const STALE_LISTS = 75;
const [directory, packages, stamp] = process.argv.slice(2);
if (directory === undefined || packages === undefined || stamp === undefined) {
  console.error('usage: node test/lab/prepare.ts DIRECTORY PACKAGES STAMP');
  process.exit(2);
}
process.exitCode = await prepare(directory, packages, stamp);

async function prepare(to: string, cache: string, mark: string): Promise<number> {
  let fetched: { readonly file: string };
  try {
    // The cloud flavour has no KVM.
    fetched = fetchPackage('linux-image-amd64', 'linux-image-', cache);
  } catch (cause) {
    console.error(`Cannot fetch the nested host's kernel: ${String(cause)}`);
    return STALE_LISTS;
  }
  console.log(`the nested host's kernel from ${basename(fetched.file)}`);
  mkdirSync(dirname(to), { recursive: true });
  const scratch = mkdtempSync(join(dirname(to), '.partial-'));
  try {
    const made = join(scratch, 'made');
    writeKernel(fetched.file, made, scratch);
    await writeGuest(join(made, 'guest'), join(scratch, 'guest'));
    writeFileSync(join(made, 'stamp'), mark);
    if (existsSync(to)) renameSync(to, join(scratch, 'old'));
    renameSync(made, to);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
