import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { files } from './files.ts';

function directory(): string {
  const path = mkdtempSync('/tmp/flt-files-');
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
const text = async (path: string, options?: Parameters<typeof files.read>[1]): Promise<string | undefined> => {
  const data = await files.read(path, options);
  return data && Buffer.from(data).toString();
};

test('what is mounted in a directory keeps it: nothing of it is emptied', async () => {
  const at = directory();
  const theirs = directory();
  writeFileSync(`${theirs}/kept`, 'x');
  mkdirSync(`${at}/ours/a mount`, { recursive: true });
  writeFileSync(`${at}/ours/disk`, 'x');
  execFileSync('mount', ['--bind', theirs, `${at}/ours/a mount`]);
  try {
    await expect(files.remove(`${at}/ours`)).rejects.toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('something is mounted at'),
    });
    expect(readdirSync(`${at}/ours`)).toEqual(['a mount', 'disk']);
    expect(readFileSync(`${theirs}/kept`, 'utf8')).toBe('x');
  } finally {
    execFileSync('umount', [`${at}/ours/a mount`]);
  }
  await files.remove(`${at}/ours`);
  expect(existsSync(`${at}/ours`)).toBe(false);
});

describe('write', () => {
  test('what a crash left half written goes with the next write, and with the removal', async () => {
    const at = directory();
    writeFileSync(`${at}/.f.partial`, 'half');
    await files.write(`${at}/f`, 'whole');
    expect(readdirSync(at)).toEqual(['f']);
    writeFileSync(`${at}/.f.partial`, 'half');
    await files.remove(`${at}/f`);
    expect(readdirSync(at)).toEqual([]);
  });

  test('makes a file with its mode, and replaces one whole', async () => {
    const at = directory();
    await files.write(`${at}/f`, 'one', { durable: true });
    expect(statSync(`${at}/f`).mode & 0o777).toBe(0o600);
    await files.write(`${at}/f`, 'two', { mode: 0o644 });
    expect(readFileSync(`${at}/f`, 'utf8')).toBe('two');
    expect(statSync(`${at}/f`).mode & 0o777).toBe(0o644);
    expect(readdirSync(at)).toEqual(['f']);
  });

  test('that fails leaves what was there, and nothing beside it', async () => {
    const at = directory();
    mkdirSync(`${at}/taken/inside`, { recursive: true });
    writeFileSync(`${at}/taken/inside/f`, 'kept');
    await expect(files.write(`${at}/taken`, 'x')).rejects.toMatchObject({
      kind: 'tool',
      message: expect.stringContaining(`${at}/taken`),
    });
    expect(readdirSync(at)).toEqual(['taken']);
    expect(readFileSync(`${at}/taken/inside/f`, 'utf8')).toBe('kept');
    await expect(files.write(`${at}/none/f`, 'x')).rejects.toMatchObject({ kind: 'tool' });
  });

  test('by many at once ends with one of them, whole', async () => {
    const at = directory();
    const texts = Array.from({ length: 20 }, (_, i) => String(i).repeat(10_000));
    await Promise.all(texts.map((one) => files.write(`${at}/f`, one)));
    expect(texts).toContain(readFileSync(`${at}/f`, 'utf8'));
    expect(readdirSync(at)).toEqual(['f']);
  });

  test.each([
    ['size=64k', /\d KiB and \d+ inodes left/],
    ['size=64m,nr_inodes=1', /no inodes left/],
  ])('on a disk of %s is full, with what is left, and leaves nothing', async (size, words) => {
    const disk = directory();
    execFileSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', disk]);
    onTestFinished(() => void execFileSync('umount', [disk]));
    await expect(files.write(`${disk}/x`, new Uint8Array(1 << 20))).rejects.toMatchObject({
      ...{ kind: 'full', reason: 'StorageFull' },
      message: expect.stringMatching(words),
    });
    expect(readdirSync(disk)).toEqual([]);
    expect(await files.freeInodes(disk)).toEqual(size.includes('nr_inodes') ? 0 : expect.any(Number));
  });

  test('on a disk that is mounted read-only says so', async () => {
    const disk = directory();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', disk]);
    onTestFinished(() => void execFileSync('umount', [disk]));
    await expect(files.write(`${disk}/x`, 'x')).rejects.toMatchObject({
      ...{ kind: 'tool', message: expect.stringMatching(/EROFS.*remount it for writing/) },
    });
  });
});

describe('writeSparse', () => {
  test('has the pieces at their places and nothing between them', async () => {
    const path = `${directory()}/file`;
    const pieces = [
      { at: 65_536, bytes: Buffer.from('second') },
      { at: 0, bytes: Buffer.from('first') },
    ];
    await files.writeSparse(path, 1 << 30, pieces);
    const { size, blocks, mode } = statSync(path);
    expect([size, mode & 0o777]).toEqual([1 << 30, 0o600]);
    expect(blocks * 512).toBeLessThanOrEqual(16 << 10);
    expect(await text(path, { maxBytes: 6 })).toBe('first\0');
    expect(await text(path, { offset: 65_535, maxBytes: 8 })).toBe('\0second\0');
  });

  test('writes into nothing that is there', async () => {
    const path = `${directory()}/file`;
    writeFileSync(path, 'theirs');
    await expect(files.writeSparse(path, 10, [])).rejects.toMatchObject({ kind: 'tool' });
    expect(readFileSync(path, 'utf8')).toBe('theirs');
  });

  test('a full disk is told as such', async () => {
    const mount = directory();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount]);
    try {
      const bytes = Buffer.alloc(1 << 20, 'x');
      await expect(files.writeSparse(`${mount}/file`, 1 << 20, [{ at: 0, bytes }])).rejects.toMatchObject({
        kind: 'full',
        reason: 'StorageFull',
      });
    } finally {
      execFileSync('umount', [mount]);
    }
  });
});

describe('read', () => {
  test('gives a part, or undefined where nothing is', async () => {
    const at = directory();
    writeFileSync(`${at}/f`, '0123456789');
    expect(await text(`${at}/f`)).toBe('0123456789');
    expect(await text(`${at}/f`, { offset: 7 })).toBe('789');
    expect(await text(`${at}/f`, { offset: 2, maxBytes: 3 })).toBe('234');
    expect(await text(`${at}/f`, { offset: 8, maxBytes: 30 })).toBe('89');
    expect(await text(`${at}/f`, { offset: 10, maxBytes: 3 })).toBe('');
    expect(await text(`${at}/f`, { offset: 99, maxBytes: 3 })).toBe('');
    expect(await text(`${at}/none`)).toBeUndefined();
    expect(await text(`${at}/f/below`)).toBeUndefined();
  });

  test('of a file of the kernel, whose size is 0, gives what is in it', async () => {
    expect(await text('/proc/self/stat', { maxBytes: 20 })).toMatch(/^\d+ \(/);
    expect((await text('/proc/self/stat', { maxBytes: 5 }))?.length).toBe(5);
  });

  test('of what is no file is a Fault', async () => {
    await expect(files.read(directory())).rejects.toMatchObject({ kind: 'tool' });
  });
});

describe('directories', () => {
  test('are made with their parents, again without harm, and their mode is set', async () => {
    const at = directory();
    await files.makeDirectory(`${at}/a/b`, 0o700);
    chmodSync(`${at}/a/b`, 0o777);
    await files.makeDirectory(`${at}/a/b`, 0o711);
    expect(statSync(`${at}/a/b`).mode & 0o777).toBe(0o711);
    writeFileSync(`${at}/f`, '');
    await expect(files.makeDirectory(`${at}/f`, 0o700)).rejects.toMatchObject({ kind: 'tool' });
  });

  test('are removed with all below, links themselves, and twice without harm', async () => {
    const at = directory();
    mkdirSync(`${at}/a/b`, { recursive: true });
    mkdirSync(`${at}/kept`);
    writeFileSync(`${at}/kept/f`, '');
    symlinkSync(`${at}/kept`, `${at}/a/link`);
    for (let i = 0; i < 2; i++) await files.remove(`${at}/a`);
    expect(readdirSync(at)).toEqual(['kept']);
    expect(existsSync(`${at}/kept/f`)).toBe(true);
  });

  test('are listed in order, and empty where there is none', async () => {
    const at = directory();
    for (const name of ['b', 'a', '.c']) writeFileSync(`${at}/${name}`, '');
    expect(await files.list(at)).toEqual(['.c', 'a', 'b']);
    expect(await files.list(`${at}/none`)).toEqual([]);
    expect(await files.list(`${at}/a`)).toEqual([]);
  });
});

describe('what lies at a path', () => {
  test('is told without following it', async () => {
    const at = directory();
    writeFileSync(`${at}/f`, 'abc', { mode: 0o640 });
    symlinkSync('f', `${at}/link`);
    const server = createServer().listen(`${at}/socket`);
    await new Promise((resolve) => server.once('listening', resolve));
    const kinds = await Promise.all(['f', 'link', 'socket', '.', 'none'].map((name) => files.stat(`${at}/${name}`)));
    server.close();
    expect(kinds.map((info) => info?.kind)).toEqual(['file', 'symlink', 'socket', 'directory', undefined]);
    expect(kinds[0]).toMatchObject({ sizeBytes: 3, mode: 0o640 });
    expect((await files.stat('/dev/null'))?.kind).toBe('other');
    expect(await files.readLink(`${at}/link`)).toBe('f');
  });

  test('is resolved whole, or undefined', async () => {
    const at = directory();
    mkdirSync(`${at}/real`);
    symlinkSync('real', `${at}/link`);
    symlinkSync('nowhere', `${at}/dangling`);
    expect(await files.realPath(`${at}/link/..//link`)).toBe(`${at}/real`);
    expect(await files.realPath(`${at}/dangling`)).toBeUndefined();
  });
});

describe('disks', () => {
  /** 8 MiB, of which one page holds data. */
  function sparse(path: string): void {
    const file = openSync(path, 'w');
    writeSync(file, 'data', 4 << 20);
    closeSync(file);
    truncateSync(path, 8 << 20);
  }

  test('are copied whole without their holes', async () => {
    const at = directory();
    sparse(`${at}/a`);
    await files.copy(`${at}/a`, `${at}/b`, 'sparse', new AbortController().signal);
    expect(readFileSync(`${at}/b`).equals(readFileSync(`${at}/a`))).toBe(true);
    const info = await files.stat(`${at}/b`);
    expect(info).toMatchObject({ sizeBytes: 8 << 20 });
    expect(info?.diskBytes).toBeLessThan(1 << 20);
  });

  test('are copied by reference, or that is refused', async () => {
    const at = directory();
    sparse(`${at}/a`);
    const copied = await files.copy(`${at}/a`, `${at}/b`, 'reflink', new AbortController().signal).catch((e) => e);
    if (copied === undefined) expect(statSync(`${at}/b`).size).toBe(8 << 20);
    else expect(copied).toMatchObject({ kind: 'refused' });
  });

  test('are not copied after the signal', async () => {
    const at = directory();
    sparse(`${at}/a`);
    for (const how of ['sparse', 'reflink'] as const)
      await expect(files.copy(`${at}/a`, `${at}/b`, how, AbortSignal.abort(new Error('too late')))).rejects.toThrow(
        'too late',
      );
    expect(readdirSync(at)).toEqual(['a']);
  });

  test('lose the blocks of their beginning, and keep length, end and what is written on', async () => {
    const at = directory();
    writeFileSync(`${at}/f`, Buffer.alloc(1 << 20, 'x'));
    const before = (await files.stat(`${at}/f`))?.diskBytes ?? 0;
    const writer = openSync(`${at}/f`, 'a');
    await files.punch(`${at}/f`, (1 << 20) - 10);
    writeSync(writer, 'more');
    closeSync(writer);
    const info = await files.stat(`${at}/f`);
    expect(info?.sizeBytes).toBe((1 << 20) + 4);
    expect(info?.diskBytes).toBeLessThan(before / 2);
    expect(await text(`${at}/f`, { offset: (1 << 20) - 10 })).toBe('xxxxxxxxxxmore');
  });

  test('on a file system say how much room there is', async () => {
    const [, , , free] =
      execFileSync('df', ['-B1', '--output=source,size,used,avail', '/tmp'])
        .toString()
        .trim()
        .split('\n')[1]
        ?.split(/\s+/) ?? [];
    const bytes = await files.freeBytes('/tmp');
    expect(Math.abs(bytes - Number(free))).toBeLessThan(2 ** 30);
  });
});

test('a device that is there and has no driver cannot be opened, nor can none', async () => {
  const at = directory();
  // 10, 255 is what a program asks the kernel for a number with: no driver has it.
  execFileSync('mknod', [`${at}/none`, 'c', '10', '255']);
  execFileSync('mknod', [`${at}/null`, 'c', '1', '3']);
  expect((await files.stat(`${at}/none`))?.kind).toBe('other');
  expect(await Promise.all(['null', 'none', 'gone'].map((name) => files.opens(`${at}/${name}`)))).toEqual([
    true,
    false,
    false,
  ]);
});

describe('watch', () => {
  test('calls back for a file and what is made in a directory, until it is stopped', async () => {
    const at = directory();
    writeFileSync(`${at}/f`, '');
    const [file, below] = [vi.fn(), vi.fn()];
    const stops = [files.watch(`${at}/f`, file), files.watch(at, below)];
    writeFileSync(`${at}/f`, 'x');
    writeFileSync(`${at}/g`, 'x');
    await vi.waitFor(() => expect(file).toHaveBeenCalled());
    await vi.waitFor(() => expect(below).toHaveBeenCalled());
    for (const stop of stops) stop();
    const calls = file.mock.calls.length;
    writeFileSync(`${at}/f`, 'y');
    await files.stat(`${at}/f`);
    expect(file.mock.calls.length).toBe(calls);
  });

  test('of what has gone calls back, so that its caller looks and sees', async () => {
    const changed = vi.fn();
    const stop = files.watch(`${directory()}/gone`, changed);
    expect(changed).not.toHaveBeenCalled();
    await vi.waitFor(() => expect(changed).toHaveBeenCalledTimes(1));
    stop();
  });

  test('calls back again and again where the host has no watch left', () => {
    const script = `
      const { files } = await import(${JSON.stringify(new URL('./files.ts', import.meta.url).href)});
      let calls = 0;
      const stop = files.watch('/tmp', () => {
        if (++calls === 2) { stop(); console.log('looked'); process.exit(0); }
      });
      setTimeout(() => process.exit(1), 60_000);
    `;
    // In a user namespace of its own the limit is its own, too.
    const none = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$0" --input-type=module -e "$1"';
    const argv = ['--user', '--map-root-user', 'sh', '-c', none, process.execPath, script];
    expect(execFileSync('unshare', argv, { timeout: 90_000, encoding: 'utf8' })).toBe('looked\n');
  });
});
