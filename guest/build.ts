/**
 * Makes one of the images of docs/guests.md, an OCI layout:
 *
 *     node guest/build.ts demo|kernel|debian|stock|stock-bookworm LAYOUT CACHE STAMP
 *
 * `demo` has the tags `kernel`, `root` and `modules`, `stock` has `trixie` and `built`, the others `latest`. LAYOUT is
 * replaced whole or not at all; STAMP is written into it, as the file `stamp`,
 * for whoever asks whether it is in step. CACHE is a directory for packages
 * and compiled kernels.
 * Exit status 75 means that apt's lists are missing or too old: after `apt-get
 * update` it may work.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fetchPackage } from './apt.ts';
import { writeDebian } from './debian.ts';
import { fetchKernel, writeKernelTree, writeModulesTree } from './kernel.ts';
import { makeImage } from './make-image.ts';
import { writeSmallKernelTree } from './small-kernel.ts';
import { writeBuiltOver, writeStock } from './stock.ts';

/** Of sysexits.h: EX_TEMPFAIL. */
const STALE_LISTS = 75;
const INTERRUPTED = 130;

interface Job {
  /** The layout to be made. */
  readonly made: string;
  /** A directory for what is in between. */
  readonly scratch: string;
  /** Where packages are kept. */
  readonly cache: string;
  readonly signal: AbortSignal;
}

/** apt knows too little. */
class StaleLists extends Error {}

const IMAGES: Readonly<Record<string, (job: Job) => void | Promise<void>>> = {
  demo({ made, scratch, cache }) {
    const { file, release } = fetched(() => fetchKernel(cache));
    console.log(`kernel ${release} from ${basename(file)}`);
    writeKernelTree(file, release, join(scratch, 'kernel'), join(scratch, 'between'));
    makeImage({ layout: made, tag: 'kernel', tree: join(scratch, 'kernel') });
    makeImage({ layout: made, tag: 'root', demo: true });
    writeModulesTree(release, join(scratch, 'modules'), join(scratch, 'between'));
    makeImage({ layout: made, tag: 'modules', tree: join(scratch, 'modules') });
  },
  async kernel({ made, scratch, cache, signal }) {
    const { file } = fetched(() => fetchPackage('linux-source', 'linux-source-', cache));
    console.log(`the small kernel from ${basename(file)}`);
    await writeSmallKernelTree(file, join(scratch, 'kernel'), join(scratch, 'between'), cache, signal);
    makeImage({ layout: made, tag: 'latest', tree: join(scratch, 'kernel') });
  },
  async debian({ made, scratch, signal }) {
    const archive = join(scratch, 'debian.tar');
    await writeDebian(archive, join(scratch, 'over'), signal);
    makeImage({ layout: made, tag: 'latest', archive, tree: join(scratch, 'over') });
  },
  async stock({ made, scratch, signal }) {
    const archive = join(scratch, 'trixie.tar');
    await writeStock('trixie', archive, signal);
    makeImage({ layout: made, tag: 'trixie', archive });
    rmSync(archive);
    writeBuiltOver(join(scratch, 'built'));
    makeImage({ layout: made, tag: 'built', from: 'trixie', tree: join(scratch, 'built') });
  },
  async 'stock-bookworm'({ made, scratch, signal }) {
    const archive = join(scratch, 'bookworm.tar');
    await writeStock('bookworm', archive, signal);
    makeImage({ layout: made, tag: 'latest', archive });
  },
};

const [name = '', layout, cache, stamp] = process.argv.slice(2);
const make = IMAGES[name];
if (make === undefined || layout === undefined || cache === undefined || stamp === undefined) {
  console.error(`usage: node guest/build.ts ${Object.keys(IMAGES).join('|')} LAYOUT CACHE STAMP`);
  process.exit(2);
}
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
process.exitCode = await build(make, layout, cache, stamp);

async function build(write: (job: Job) => void | Promise<void>, to: string, packages: string, mark: string) {
  mkdirSync(dirname(to), { recursive: true });
  const scratch = mkdtempSync(join(dirname(to), '.partial-'));
  try {
    const made = join(scratch, 'layout');
    await write({ made, scratch, cache: packages, signal: stop.signal });
    stop.signal.throwIfAborted();
    writeFileSync(join(made, 'stamp'), mark);
    if (existsSync(to)) renameSync(to, join(scratch, 'old'));
    renameSync(made, to);
    return 0;
  } catch (cause) {
    if (stop.signal.aborted) return INTERRUPTED;
    console.error(`Cannot make ${basename(to)}: ${words(cause)}`);
    return cause instanceof StaleLists ? STALE_LISTS : 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function fetched<T>(fetch: () => T): T {
  try {
    return fetch();
  } catch (cause) {
    throw new StaleLists(words(cause), { cause });
  }
}

/** What went wrong, without a stack: a tool's own last words where there are some. */
function words(cause: unknown): string {
  if (cause instanceof Error && 'stderr' in cause && cause.stderr instanceof Uint8Array) {
    const said = Buffer.from(cause.stderr).toString('utf8').trim();
    if (said !== '') return `${cause.message.split('\n')[0]}: ${said}`;
  }
  // Of its own words: what a package has of this folder stands alone.
  return cause instanceof Error ? cause.message : String(cause);
}
