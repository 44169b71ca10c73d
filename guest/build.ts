/**
 * Makes the demo images of docs/guests.md: an OCI layout with the tags
 * `kernel` and `root`.
 *
 *     node guest/build.ts LAYOUT PACKAGE-CACHE STAMP
 *
 * LAYOUT is replaced whole or not at all; STAMP is written into it, as the
 * file `stamp`, for whoever asks whether it is in step. Exit status 75 means
 * that apt's lists are missing or too old: after `apt-get update` it may work.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fetchKernel, writeKernelTree } from './kernel.ts';
import { makeImage } from './make-image.ts';

/** Of sysexits.h: EX_TEMPFAIL. */
const STALE_LISTS = 75;

const [layout, cache, stamp] = process.argv.slice(2);
if (layout === undefined || cache === undefined || stamp === undefined) {
  console.error('usage: node guest/build.ts LAYOUT PACKAGE-CACHE STAMP');
  process.exit(2);
}
process.exitCode = build(layout, cache, stamp);

function build(to: string, packages: string, mark: string): number {
  let kernel: ReturnType<typeof fetchKernel>;
  try {
    kernel = fetchKernel(packages);
  } catch (cause) {
    console.error(`Cannot fetch the kernel's package: ${words(cause)}`);
    return STALE_LISTS;
  }
  mkdirSync(dirname(to), { recursive: true });
  const partial = mkdtempSync(join(dirname(to), '.partial-'));
  try {
    console.log(`kernel ${kernel.release} from ${basename(kernel.file)}`);
    writeKernelTree(kernel.file, kernel.release, join(partial, 'kernel'), join(partial, 'scratch'));
    const made = join(partial, 'layout');
    makeImage({ layout: made, tag: 'kernel', tree: join(partial, 'kernel') });
    makeImage({ layout: made, tag: 'root', demo: true });
    writeFileSync(join(made, 'stamp'), mark);
    if (existsSync(to)) renameSync(to, join(partial, 'old'));
    renameSync(made, to);
    return 0;
  } catch (cause) {
    console.error(`Cannot make the demo images: ${words(cause)}`);
    return 1;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** What went wrong, without a stack: a tool's own last words where there are some. */
function words(cause: unknown): string {
  if (cause instanceof Error && 'stderr' in cause && cause.stderr instanceof Uint8Array) {
    const said = Buffer.from(cause.stderr).toString('utf8').trim();
    if (said !== '') return `${cause.message.split('\n')[0]}: ${said}`;
  }
  return cause instanceof Error ? cause.message : String(cause);
}
