import {
  databasePath,
  imagesDirectory,
  lockPath,
  type Names,
  networkDirectory,
  socketPath,
  vmRunRoot,
  vmStateRoot,
} from '../../domain/names.ts';

/**
 * Paths of the daemon's own that no entry of the ledger names: the database, the lock, the sockets, and the directories
 * that hold the rest.
 * @param sockets - of the API
 */
export const withoutEntry = (names: Names, sockets: readonly string[]): readonly string[] => [
  ...['', '-wal', '-shm', '-journal'].flatMap((end) => [databasePath(names) + end, lockPath(names) + end]),
  ...[vmStateRoot(names), vmRunRoot(names), imagesDirectory(names), networkDirectory(names)],
  ...['trees', 'golden', 'kernels', 'scratch'].map((name) => `${imagesDirectory(names)}/${name}`),
  socketPath(names),
  ...sockets,
];
