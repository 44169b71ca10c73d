import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import { type GuestFileSchema, GuestFileType } from '../../gen/flintlock/microvm/v1/guest_files_pb.ts';
import type { GuestService } from '../../gen/flintlock/microvm/v1/guest_pb.ts';

type File = MessageInitShape<typeof GuestFileSchema>;

let directory: string;
const at = (path: string): string => join(directory, path);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fl-cp-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
});

const { DIRECTORY, REGULAR, SYMLINK, FIFO, BLOCK_DEVICE } = GuestFileType;
const named = (name: string, more: File = {}): File => ({
  name: Buffer.from(name, 'latin1'),
  type: REGULAR,
  mode: 0o644,
  ...more,
});

/** A guest that says of `/tree` that this is in it, and in everything below it too; of all files that their content is their path. */
async function hostile(files: readonly File[], more: Partial<ServiceImpl<typeof GuestService>> = {}) {
  const { address } = await startFakeDaemon(
    { getMicroVM: () => ({ microvm: fakeVm() }) },
    {},
    {},
    {
      statFile: () => ({ file: named('tree', { type: DIRECTORY, mode: 0o755 }) }),
      async *listFiles({ place }) {
        yield { files: place?.below.length === 0 ? [...files] : [named('inner')] };
      },
      async *readFile({ place }) {
        yield { payload: { case: 'file', value: named('') } };
        yield { payload: { case: 'data', value: place?.below ?? new Uint8Array() } };
        yield { payload: { case: 'end', value: {} } };
      },
      ...more,
    },
  );
  mkdirSync(at('to'));
  mkdirSync(at('outside'));
  return () => runCli(['--host', address, 'cp', 'web:/tree', at('to')]);
}

test.each(['..', '.', '', 'a/b', '../outside/x', '/etc/x', 'nul\0nul', 'n'.repeat(256)])(
  'a guest that has a file %j is not believed',
  async (name) => {
    const cp = await hostile([named('before'), named(name)]);
    expect(await cp()).toMatchObject({ exit: 1, stderr: expect.stringContaining('impossible name') });
    expect(readdirSync(at('outside'))).toEqual([]);
  },
);

test('a link that the guest sends leads nothing of the rest outside', async () => {
  const out = Buffer.from(at('outside'));
  const cp = await hostile([
    named('way', { type: SYMLINK, target: out }),
    named('way', { type: DIRECTORY, mode: 0o755 }),
    named('way2', { type: SYMLINK, target: Buffer.from(`${at('outside')}/file`) }),
    named('way2'),
  ]);
  const { exit, stderr } = await cp();
  expect([exit, stderr]).toEqual([1, expect.stringContaining('there is a file of that name')]);
  expect(readdirSync(at('outside'))).toEqual([]);
  expect(lstatSync(at('to/tree/way')).isSymbolicLink()).toBe(true);
});

test('a link that is there already is replaced, and not written through', async () => {
  const cp = await hostile([named('file'), named('sub', { type: DIRECTORY, mode: 0o755 })]);
  mkdirSync(at('to/tree'));
  writeFileSync(at('outside/kept'), 'kept');
  symlinkSync(at('outside/kept'), at('to/tree/file'));
  symlinkSync(at('outside'), at('to/tree/sub'));
  expect((await cp()).exit).toBe(1); // the directory is not gone into
  expect([readFileSync(at('outside/kept'), 'utf8'), readdirSync(at('outside'))]).toEqual(['kept', ['kept']]);
  expect([lstatSync(at('to/tree/file')).isFile(), readFileSync(at('to/tree/file'), 'utf8')]).toEqual([true, 'file']);
});

test('devices and set-user-ID bits stay in the guest, a hard link leads to a file of the copy only', async () => {
  const twice = { links: 2n, device: 1n, inode: 9n };
  const cp = await hostile([
    named('disk', { type: BLOCK_DEVICE, mode: 0o666, major: 8 }),
    named('one', { mode: 0o6755, ...twice }),
    named('pipe', { type: FIFO, mode: 0o600 }),
    named('two', { mode: 0o6755, ...twice }),
  ]);
  const { exit, stderr } = await cp();
  expect([exit, stderr]).toEqual([1, expect.stringContaining('disk is a device, and left out')]);
  expect(readdirSync(at('to/tree')).sort()).toEqual(['one', 'pipe', 'two']);
  expect([lstatSync(at('to/tree/one')).mode & 0o7777, lstatSync(at('to/tree/two')).nlink]).toEqual([0o755, 2]);
});

// Some hundred calls, one after the other.
test('directories without an end come to one', { timeout: 120_000 }, async () => {
  const cp = await hostile([], {
    async *listFiles() {
      yield { files: [named('d', { type: DIRECTORY, mode: 0o755 })] };
    },
  });
  expect(await cp()).toMatchObject({ exit: 1, stderr: expect.stringContaining('it lies too deep') });
});

test('what is cut off leaves nothing under the name', async () => {
  const cp = await hostile([named('file')], {
    async *readFile() {
      yield { payload: { case: 'data', value: Buffer.from('half') } };
    },
  });
  expect(await cp()).toMatchObject({ exit: 1, stderr: expect.stringContaining('was cut off') });
  expect(readdirSync(at('to/tree'))).toEqual([]);
});

test('a guest that dies meanwhile ends it, in the daemon’s words', async () => {
  const cp = await hostile([named('a'), named('b')], {
    // biome-ignore lint/correctness/useYield: it fails
    async *readFile() {
      throw new ConnectError('What was done was cut off; the microVM is STOPPED', Code.Unavailable);
    },
  });
  expect(await cp()).toMatchObject({
    exit: 1,
    stderr: expect.stringMatching(/^flintlock: Cannot copy: What was done[^\n]*\n$/),
  });
  expect(existsSync(at('to/tree/a'))).toBe(false);
});

test('names of the guest do nothing to a terminal', async () => {
  const cp = await hostile([named('\u001b[2J', { type: BLOCK_DEVICE })]);
  expect((await cp()).stderr).toContain('\\x1b[2J');
});

test('a daemon that goes away ends a copy of standard input that has no end', async () => {
  const daemon = await startFakeDaemon(
    { getMicroVM: () => ({ microvm: fakeVm() }) },
    {},
    {},
    {
      statFile: ({ place }) => {
        if (place?.follow && Buffer.from(place.path).toString() === '/')
          return { file: named('/', { type: DIRECTORY }) };
        throw new ConnectError('Cannot look at the file in the guest: none', Code.NotFound);
      },
      writeFile: async (requests) => {
        for await (const { payload } of requests) if (payload.case === 'data') daemon.cut();
        return {};
      },
    },
  );
  async function* typed() {
    yield 'half';
    await new Promise(() => undefined);
  }
  const result = await runCli(['--host', daemon.address, 'cp', '-', 'web:/x'], { typed: typed() });
  expect(result).toMatchObject({ exit: 1, stderr: expect.stringContaining('the connection was cut') });
});
