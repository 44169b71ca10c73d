import type { Files, Run } from '../ports/host.ts';
import type { CidataDisks } from '../ports/metadata-server.ts';
import type { Store } from '../ports/store.ts';
import { seedOf } from './seed.ts';
import { sourceOf } from './source.ts';

/** The file systems that cloud-init looks at have this label (DataSourceNoCloud). */
const LABEL = 'CIDATA';
/** Each of two tools takes some 10 ms. */
const TIMEOUT_MS = 60_000;
const KIB = 1024;

interface CidataDeps {
  readonly run: Run;
  readonly files: Files;
  readonly store: Pick<Store, 'metadataOf'>;
}

/** Disks with a FAT file system: any guest can read one, and it needs no root's help to make. */
export function createCidataDisks({ run, files, store }: CidataDeps): CidataDisks {
  const remove = async (path: string): Promise<void> => {
    await files.remove(`${path}.files`);
    await files.remove(path);
  };
  return {
    remove,
    async make(path, vm, nics, signal) {
      await remove(path);
      const metadata = store.metadataOf(vm);
      const seed = seedOf(sourceOf(vm, metadata, nics));
      const wanted = [...seed.files].filter(
        // Without interfaces there is nothing to say of them; cloud-init would take it for an order to have none.
        ([name]) => name !== 'network-config' || nics.length > 0 || Object.hasOwn(metadata, 'network-config'),
      );
      const directory = `${path}.files`;
      await files.makeDirectory(directory, 0o700);
      for (const [name, bytes] of wanted) await files.write(`${directory}/${name}`, bytes, { mode: 0o600 });

      const limits = { signal, timeoutMs: TIMEOUT_MS };
      await files.write(path, new Uint8Array(0), { mode: 0o600 });
      const size = sizeInKib(wanted.map(([, bytes]) => bytes.byteLength));
      // The same bytes for the same metadata, but for the files' times.
      await run(['truncate', '--size', `${size}K`, path], limits);
      await run(['mkfs.vfat', '-n', LABEL, '-i', 'f1171065', path], limits);
      await run(['mcopy', '-i', path, ...wanted.map(([name]) => `${directory}/${name}`), '::'], limits);
      await files.remove(directory);
    },
  };
}

/** Each file takes whole clusters, of at most 4 KiB here; tables, directory and boot sector some more. */
const sizeInKib = (bytes: readonly number[]): number =>
  (128 + bytes.reduce((sum, size) => sum + Math.ceil(size / (4 * KIB)) * 4 + 1, 0) * 1.05) | 0;
