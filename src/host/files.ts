import {
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
  watch as watchFile,
} from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { allDone } from '../base/all-done.ts';
import { Fault } from '../domain/fault.ts';
import type { FileInfo, FilePiece, Files } from '../ports/host.ts';
import { roomAt } from './disk-room.ts';
import { guard, orUndefined } from './file-faults.ts';
import { pinSocket } from './pin-socket.ts';
import { removeAll } from './remove-all.ts';
import { isErrno, run } from './run.ts';
import { takeFrom } from './take-from.ts';
import { typeInto } from './type-into.ts';

/**
 * Where a file is written before it is whole. Always the same place: what a
 * crash left there goes with the next write or removal of the file.
 */
const partialOf = (path: string): string => join(dirname(path), `.${basename(path)}.partial`);

/**
 * What the kernel tells without a disk is read at once: a thread of its own for that takes ten times as long. Not what may wait
 * for another process's memory, or is long to make.
 */
const isAtHand = (path: string): boolean =>
  /^\/(?:proc|sys)\//.test(path) && !/\/(?:cmdline|environ|maps|smaps|memory\.stat|net\/\w+)$/.test(path);

/** Where the kernel tells of no change, somebody looks so often. */
const POLL_MS = 500;

/** Who writes to the same path waits: they share that place. */
const turns = new Map<string, Promise<void>>();

async function inTurn(path: string, act: () => Promise<void>): Promise<void> {
  const mine = (turns.get(path) ?? Promise.resolve()).catch(() => undefined).then(act);
  turns.set(path, mine);
  try {
    await mine;
  } finally {
    if (turns.get(path) === mine) turns.delete(path);
  }
}

/** Adapter of {@link Files}; it decides nothing. */
export const files: Files = {
  makeDirectory: (path, mode) =>
    guard(`make directory ${path}`, async () => {
      await fs.mkdir(path, { recursive: true, mode });
      await fs.chmod(path, mode);
    }),

  remove: (path) =>
    guard(`remove ${path}`, async () => {
      await Promise.all([removeAll(path), removeAll(partialOf(path))]);
    }),

  write: (path, data, { mode = 0o600, durable = false } = {}) =>
    guard(
      `write ${path}`,
      () =>
        inTurn(path, async () => {
          const partial = partialOf(path);
          try {
            const file = await openNew(partial, mode);
            try {
              await allDone([file.writeFile(data), file.chmod(mode)]);
              if (durable) await file.sync();
            } finally {
              await file.close();
            }
            await fs.rename(partial, path);
          } catch (error) {
            await fs.rm(partial, { force: true });
            throw error;
          }
          if (durable) await syncDirectory(dirname(path));
        }),
      path,
      typeof data === 'string' || data instanceof Uint8Array ? data.length : 0,
    ),

  writeSparse: (path, sizeBytes, pieces) =>
    guard(
      `write ${path}`,
      async () => {
        const file = await fs.open(path, 'wx', 0o600);
        try {
          // The kernel may take a part.
          const write = async ({ at, bytes }: FilePiece): Promise<void> => {
            for (let done = 0; done < bytes.length; )
              done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
          };
          // Beside one another: none is behind that end.
          await allDone([...pieces.map(write), file.truncate(sizeBytes)]);
          await file.datasync();
        } finally {
          await file.close();
        }
      },
      path,
      pieces.reduce((sum, { bytes }) => sum + bytes.length, 0),
    ),

  read: (path, { offset = 0, maxBytes } = {}) =>
    guard(`read ${path}`, () =>
      orUndefined(async () => {
        if (isAtHand(path) && offset === 0) {
          const all = readFileSync(path);
          return maxBytes === undefined ? all : all.subarray(0, maxBytes);
        }
        const file = await fs.open(path, 'r');
        try {
          if (maxBytes === undefined && offset === 0) return await file.readFile();
          const { size } = await file.stat();
          // The kernel's own files have no size and something in them.
          const left = size > 0 ? size - offset : (maxBytes ?? 0);
          const buffer = Buffer.alloc(Math.max(0, Math.min(maxBytes ?? left, left)));
          const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
          return buffer.subarray(0, bytesRead);
        } finally {
          await file.close();
        }
      }),
    ),

  overwrite: (path, data) => guard(`write ${path}`, () => fs.writeFile(path, data, { flag: 'r+' })),

  own: (path, user) => guard(`give ${path} to user ${user}`, () => fs.lchown(path, user, user)),

  setMode: (path, mode) => guard(`set the mode of ${path}`, () => fs.chmod(path, mode)),

  removeDirectory: (path) =>
    guard(`remove ${path}`, async () => {
      try {
        await orUndefined(() => fs.rmdir(path));
        return true;
      } catch (error) {
        if (isErrno(error, 'ENOTEMPTY', 'EBUSY', 'EEXIST')) return false;
        throw error;
      }
    }),

  rename: (from, to) => guard(`rename ${from} to ${to}`, () => fs.rename(from, to)),

  list: (path) =>
    guard(`list ${path}`, async () =>
      ((await orUndefined(async () => (isAtHand(path) ? readdirSync(path) : fs.readdir(path)))) ?? []).sort(),
    ),

  stat: (path) =>
    guard(`stat ${path}`, () =>
      orUndefined(async (): Promise<FileInfo> => {
        const s = await fs.lstat(path);
        const kind = s.isFile()
          ? 'file'
          : s.isDirectory()
            ? 'directory'
            : s.isSymbolicLink()
              ? 'symlink'
              : s.isSocket()
                ? 'socket'
                : 'other';
        return {
          kind,
          sizeBytes: s.size,
          diskBytes: s.blocks * 512,
          mode: s.mode & 0o7777,
          owner: { user: s.uid, group: s.gid },
          stamp: stampOf(s),
          modifiedAt: s.mtimeMs,
          ...(s.isCharacterDevice() && { device: deviceNumber(s.rdev) }),
        };
      }),
    ),

  // Any error is the answer: a node whose driver is not there (ENODEV, ENXIO), none, one that may not be opened.
  opens: async (path) => {
    const file = await fs.open(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK).catch(() => undefined);
    await file?.close();
    return file !== undefined;
  },

  readLink: (path) => guard(`read link ${path}`, async () => (isAtHand(path) ? readlinkSync(path) : fs.readlink(path))),

  realPath: (path) => guard(`resolve ${path}`, () => orUndefined(() => fs.realpath(path))),

  async firstFile(paths) {
    for (const path of paths)
      try {
        const info = statSync(path, { throwIfNoEntry: false });
        if (info?.isFile()) return { path, real: realpathSync.native(path), stamp: stampOf(info) };
      } catch {
        // It may not be searched, or went meanwhile.
      }
    return undefined;
  },

  freeBytes: (path) => guard(`ask for the free space of ${path}`, async () => (await roomAt(path)).bytes),

  freeInodes: (path) => guard(`ask for the free inodes of ${path}`, async () => (await roomAt(path)).inodes),

  copy: (from, to, how, signal) =>
    guard(`copy ${from} to ${to}`, async () => {
      signal.throwIfAborted();
      if (how === 'sparse') {
        await run(['cp', '--sparse=always', '--reflink=auto', '--', from, to], { signal, timeoutMs: 600_000 });
        return;
      }
      try {
        await fs.copyFile(from, to, fs.constants.COPYFILE_FICLONE_FORCE);
      } catch (cause) {
        if (!isErrno(cause, 'ENOTSUP', 'EXDEV', 'EINVAL', 'ENOSYS', 'ENOTTY', 'EOPNOTSUPP')) throw cause;
        throw new Fault('refused', `Cannot copy ${from} by reference: the file system cannot`, { cause });
      }
    }),

  watch: (path, changed) => {
    let stop = (): void => undefined;
    const poll = (): void => {
      const timer = setInterval(changed, POLL_MS).unref();
      stop = () => clearInterval(timer);
    };
    try {
      const watcher = watchFile(path, { persistent: false }, () => changed());
      stop = () => watcher.close();
      watcher.on('error', () => {
        watcher.close();
        poll(); // what is watched may be gone, or the kernel gave up: the caller looks and sees
        changed();
      });
    } catch (cause) {
      // There are only so many watches for all of the host's programs: without one it is looked from time to time.
      poll();
      const soon = isErrno(cause, 'ENOENT') ? setImmediate(changed) : undefined; // it went meanwhile
      const stopPolling = stop;
      stop = () => {
        clearImmediate(soon);
        stopPolling();
      };
    }
    return () => stop();
  },

  typeInto,

  takeFrom,

  pinSocket: (path, owner) => guard(`find the socket ${path}`, () => orUndefined(() => pinSocket(path, owner))),

  punch: async (path, bytes) => {
    await run(['fallocate', '--punch-hole', '--offset', '0', '--length', String(bytes), '--', path], {
      signal: new AbortController().signal,
      timeoutMs: 30_000,
    });
  },
};

async function syncDirectory(path: string): Promise<void> {
  const directory = await fs.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** What a crash left in its place goes. */
async function openNew(path: string, mode: number): Promise<fs.FileHandle> {
  try {
    return await fs.open(path, 'wx', mode);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    await fs.rm(path, { force: true });
    return fs.open(path, 'wx', mode);
  }
}

/** Another one as soon as the file is another, or was written to. */
const stampOf = ({ dev, ino, size, ctimeMs }: Stats): string => `${dev}:${ino}:${size}:${ctimeMs}`;

/** As Linux packs the two numbers of a device into one (makedev(3)). */
function deviceNumber(rdev: number): string {
  const [major, minor] = [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)];
  return `${major}:${minor}`;
}
