import { Fault } from '../domain/fault.ts';
import { noRoom } from '../domain/room-words.ts';
import type { Golden, GoldenShape } from '../ports/images.ts';
import { makeDisk, measureTree } from './golden-disk.ts';
import type { PullOptions } from './pull.ts';
import { keepFree, underWatch } from './watchdog.ts';

export interface GoldenOptions
  extends Pick<PullOptions, 'run' | 'files' | 'clock' | 'paths' | 'keepFreeBytes' | 'reservations'> {
  readonly goldenTimeoutMs: number;
}

const LOOK_EVERY_MS = 500;

/**
 * Makes the disk image of a tree at its place. The caller has the paths in the
 * ledger, removes what is left when this fails, and lets no second one run.
 */
export async function makeGolden(
  image: { readonly digest: string; readonly tree: string },
  shape: GoldenShape,
  options: GoldenOptions,
  signal: AbortSignal,
): Promise<Golden> {
  const { run, files, clock, paths, keepFreeBytes, goldenTimeoutMs: timeoutMs } = options;
  const { path, partial } = paths.golden(image.digest, shape);
  const what = `image ${image.digest}`;
  if ((await files.stat(image.tree))?.kind !== 'directory')
    throw new Fault(
      'tool',
      `Cannot make a disk of ${what}: its files are gone from ${image.tree}; they are pulled anew`,
      {
        reason: 'ImagePullFailed',
      },
    );
  await files.makeDirectory(paths.goldens, 0o700);
  const { bytes } = await measureTree(image.tree, { run, signal, timeoutMs });
  const why = `the image's files of ${Math.ceil(bytes / 2 ** 20)} MB`;
  using _reservation = await options.reservations.reserve(bytes, `make a disk of ${what}`, why);
  const look = (): Promise<void> => keepFree(files, paths.directory, keepFreeBytes, `make a disk of ${what}`);
  try {
    const made = await underWatch(clock, signal, LOOK_EVERY_MS, look, async (watched) => {
      const ext4 = { run, signal: watched, timeoutMs, what, remove: (half: string) => files.remove(half) };
      const size = await makeDisk(image.tree, partial, shape, ext4);
      await run(['sync', partial], { signal: watched, timeoutMs }); // as with the tree: made is made
      return size;
    });
    await files.rename(partial, path);
    return { path, sizeInMb: made };
  } catch (error) {
    throw explainGolden(error, what, paths.directory);
  }
}

/** What the tools say, with what was being made and the reason that a microVM shows; what says so already is left. */
function explainGolden(error: unknown, what: string, directory: string): unknown {
  const failed = `Cannot make a disk of ${what}`;
  if (!(error instanceof Fault) || error.message.startsWith(failed)) return error;
  if (error.reason !== undefined && error.kind !== 'full') return error;
  const options = { cause: error };
  switch (error.kind) {
    case 'full':
      return new Fault('full', `${failed}: ${noRoom(error.message)}, where ${directory} lies`, {
        ...options,
        reason: 'StorageFull',
      });
    case 'timeout':
      return new Fault('timeout', `${failed}: ${error.message}`, { ...options, reason: 'Timeout' });
    default:
      return error;
  }
}
