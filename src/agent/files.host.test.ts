import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { agentFiles, filesBy } from '../../test/support/agent-files.ts';
import { startAgent } from '../../test/support/agent-process.ts';
import type { FileContent, FileReading, GuestFile, GuestFiles } from '../ports/guest-files.ts';
import { AGENT_FRAME, AgentDecoder, agentFrame, filesRequest, parseExit } from './agent-frames.ts';
import { requestRecord } from './file-records.ts';

const NEVER = new AbortController().signal;
const at = (path: string, below?: string) => ({
  path: Buffer.from(path),
  ...(below !== undefined && { below: Buffer.from(below, 'latin1') }),
});
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

let directory: string;
let files: GuestFiles;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fl-files-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  files = await agentFiles();
});

async function* content(...pieces: (string | bigint)[]): AsyncGenerator<FileContent> {
  for (const one of pieces)
    if (typeof one === 'bigint') yield { is: 'hole', bytes: one };
    else yield { is: 'data', data: Buffer.from(one) };
}

async function read(path: string, offset = 0n, length = 0n) {
  const all: FileReading[] = [];
  for await (const one of files.read(at(path), { offset, length }, NEVER)) all.push(one);
  const bytes = all.flatMap((one) =>
    one.is === 'data' ? [Buffer.from(one.data)] : one.is === 'hole' ? [Buffer.alloc(Number(one.bytes))] : [],
  );
  return { all, bytes: Buffer.concat(bytes), text: text(Buffer.concat(bytes)) };
}

async function list(path: string): Promise<GuestFile[]> {
  const all: GuestFile[] = [];
  for await (const some of files.list(at(path), NEVER)) all.push(...some);
  return all;
}

test('says what files are, of every kind and name', async () => {
  const odd = Buffer.from([0x20, 0x0a, 0xff, 0xfe, 0x22, 0x5c, 0x09]);
  const long = 'n'.repeat(255);
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), odd]), 'odd', { mode: 0o600 });
  writeFileSync(join(directory, long), '');
  symlinkSync('/no/where', join(directory, 'link'));
  mkdirSync(join(directory, 'sub'));
  execFileSync('mkfifo', [join(directory, 'pipe')]);
  execFileSync('mknod', [join(directory, 'null'), 'c', '1', '3']);
  chownSync(join(directory, long), 1234, 5678);
  chmodSync(join(directory, long), 0o4755);
  const found = new Map((await list(directory)).map((file) => [text(file.name), file]));
  expect([...found.keys()].sort()).toEqual([odd.toString('latin1'), 'link', long, 'null', 'pipe', 'sub'].sort());
  expect(found.get(odd.toString('latin1'))).toMatchObject({ type: 'file', size: 3n, mode: 0o600, links: 1n });
  expect(found.get(long)).toMatchObject({ uid: 1234, gid: 5678, mode: 0o4755 });
  expect(text(found.get('link')?.target ?? new Uint8Array())).toBe('/no/where');
  expect(found.get('null')).toMatchObject({ type: 'character', major: 1, minor: 3 });
  expect([found.get('pipe')?.type, found.get('sub')?.type]).toEqual(['fifo', 'directory']);
  const { mtimeNs } = lstatSync(join(directory, 'link'), { bigint: true });
  const { modified } = await files.stat(at(directory, 'link'), NEVER);
  expect(modified.seconds * 1_000_000_000n + BigInt(modified.nanos)).toBe(mtimeNs);
  await expect(files.stat({ ...at(join(directory, 'link')), follow: true }, NEVER)).rejects.toMatchObject({
    ...{ kind: 'not_found', message: 'Cannot look at the file in the guest: No such file or directory' },
  });
});

test('a file has its name once it is whole, with what it is to have', async () => {
  const path = join(directory, 'file');
  const attributes = {
    mode: 0o4751,
    owner: { uid: 7, gid: 8 },
    modified: { seconds: 1_600_000_000n, nanos: 123_456_789 },
  };
  expect(await files.write({ ...at(path), ...attributes }, content('some ', 'text'), NEVER)).toBe(9n);
  const stats = statSync(path, { bigint: true });
  expect([stats.mode & 0o7777n, stats.uid, stats.gid]).toEqual([0o4751n, 7n, 8n]);
  expect(stats.mtimeNs).toBe(1_600_000_000_123_456_789n);
  // One that replaces another without a word keeps what that had.
  await files.write(at(path), content('new'), NEVER);
  expect([statSync(path).mode & 0o777, statSync(path).uid, readFileSync(path, 'utf8')]).toEqual([0o751, 7, 'new']);
  async function* broken(): AsyncGenerator<FileContent> {
    yield { is: 'data', data: Buffer.alloc(100_000, 'x') };
    throw new Error('the disk here is gone');
  }
  await expect(files.write(at(path), broken(), NEVER)).rejects.toThrow('the disk here is gone');
  const left = new AbortController();
  async function* stalled(): AsyncGenerator<FileContent> {
    yield { is: 'data', data: Buffer.from('half') };
    left.abort(new Error('left'));
    await new Promise(() => undefined);
  }
  await expect(files.write(at(path), stalled(), left.signal)).rejects.toThrow('left');
  expect(readFileSync(path, 'utf8')).toBe('new');
  await vi.waitFor(() => expect(readdirSync(directory)).toEqual(['file']), 10_000);
});

test('what was cut off is gone on with in place', async () => {
  const path = join(directory, 'file');
  const from = (inPlaceFrom: bigint, ...pieces: string[]) =>
    files.write({ ...at(path), inPlaceFrom }, content(...pieces), NEVER);
  await from(0n, 'abcdef');
  await from(3n, 'XY');
  expect(readFileSync(path, 'utf8')).toBe('abcXY');
  await expect(from(6n, 'Z')).rejects.toMatchObject({ message: expect.stringContaining('shorter than the offset') });
  expect((await read(path, 3n)).text).toBe('XY');
  expect((await read(path, 1n, 2n)).text).toBe('bc');
  expect((await read(path, 99n)).text).toBe('');
});

test('holes stay holes, both ways, also 3 GB of them', async () => {
  const path = join(directory, 'sparse');
  const size = 3n << 30n;
  await files.write(at(path), content('begin', size - 10n, 'end', 2n), NEVER);
  const stats = statSync(path, { bigint: true });
  expect([stats.size, stats.blocks < 100n]).toEqual([size, true]);
  const { all } = await (async () => {
    const pieces: FileReading[] = [];
    for await (const one of files.read(at(path), { offset: 0n, length: 0n }, NEVER)) pieces.push(one);
    return { all: pieces };
  })();
  const moved = all.reduce(
    (sum, one) => sum + (one.is === 'data' ? BigInt(one.data.length) : one.is === 'hole' ? one.bytes : 0n),
    0n,
  );
  expect(moved).toBe(size);
  expect(all.length).toBeLessThan(20);
});

test('files of /proc and /sys have a content, whatever size they say', async () => {
  expect((await read('/proc/version')).text).toBe(readFileSync('/proc/version', 'latin1'));
  expect((await read('/sys/kernel/notes')).bytes).toEqual(readFileSync('/sys/kernel/notes'));
  expect((await read('/proc/self/status')).text).toContain('flintlock-agent');
});

test('one that grows is read as long as it was, and that it changed is told', async () => {
  const path = join(directory, 'log');
  const fd = openSync(path, 'w');
  onTestFinished(() => closeSync(fd));
  ftruncateSync(fd, 8 << 20);
  writeSync(fd, Buffer.alloc(8 << 20, 'x'), 0);
  let length = 0;
  for await (const one of files.read(at(path), { offset: 0n, length: 0n }, NEVER)) {
    if (one.is === 'data') {
      length += one.data.length;
      writeSync(fd, 'more\n', null);
    }
    if (one.is === 'end') expect(one.changed).toBe(true);
  }
  expect(length).toBe(8 << 20);
  expect((await read(path)).all.at(-1)).toEqual({ is: 'end', changed: false });
});

test('nothing below a path is reached through a link, or by ..', async () => {
  mkdirSync(join(directory, 'out/sub'), { recursive: true });
  mkdirSync(join(directory, 'tree'));
  writeFileSync(join(directory, 'out/secret'), 'secret');
  symlinkSync('../out', join(directory, 'tree/link'));
  const tree = join(directory, 'tree');
  for (const below of ['link/secret', '../out/secret', './link/secret', 'link//secret', '..', '.', ''.padEnd(3, '/')])
    await expect(files.stat(at(tree, below), NEVER)).rejects.toMatchObject({ kind: 'refused' });
  await expect(files.write(at(tree, 'link/new'), content('x'), NEVER)).rejects.toMatchObject({ kind: 'refused' });
  await expect(
    files.change({ is: 'make directory', ...at(tree, 'link/new'), parents: true }, NEVER),
  ).rejects.toMatchObject({ kind: 'refused' });
  await files.write(at(tree, 'link'), content('x'), NEVER); // the link is replaced, and what it led to is as it was
  expect(readdirSync(join(directory, 'out')).sort()).toEqual(['secret', 'sub']);
  expect(lstatSync(join(tree, 'link')).isFile()).toBe(true);
  // The caller's own path may go through links.
  symlinkSync(tree, join(directory, 'way'));
  expect((await files.stat(at(join(directory, 'way'), 'link'), NEVER)).type).toBe('file');
});

test('makes, renames and removes, and never through links', async () => {
  const change = (one: Parameters<GuestFiles['change']>[0]) => files.change(one, NEVER);
  await change({
    is: 'make directory',
    ...at(join(directory, 'a/b/c')),
    parents: true,
    mode: 0o2770,
    owner: { uid: 5, gid: 6 },
  });
  await change({ is: 'make directory', ...at(join(directory, 'a/b/c')), parents: true });
  await expect(change({ is: 'make directory', ...at(join(directory, 'a')), parents: false })).rejects.toMatchObject({
    kind: 'exists',
  });
  expect(statSync(join(directory, 'a/b/c'))).toMatchObject({ uid: 5, gid: 6 });
  await files.write(at(directory, 'a/b/file'), content('x'), NEVER);
  await change({ is: 'make link', ...at(directory, 'a/hard'), to: Buffer.from('a/b/file') });
  await change({ is: 'make link', ...at(directory, 'a/hard'), to: Buffer.from(join(directory, 'a/b/file')) });
  expect(statSync(join(directory, 'a/hard')).nlink).toBe(2);
  await change({
    is: 'make symlink',
    ...at(directory, 'a/soft'),
    target: Buffer.from('b/../../x'),
    owner: { uid: 9, gid: 9 },
  });
  expect([readlinkSync(join(directory, 'a/soft')), lstatSync(join(directory, 'a/soft')).uid]).toEqual(['b/../../x', 9]);
  await change({ is: 'make fifo', ...at(directory, 'a/pipe'), mode: 0o622 });
  await change({ is: 'make device', ...at(directory, 'a/zero'), type: 'character', major: 1, minor: 5, mode: 0o666 });
  expect([lstatSync(join(directory, 'a/pipe')).isFIFO(), lstatSync(join(directory, 'a/zero')).mode & 0o777]).toEqual([
    true,
    0o666,
  ]);
  for (const name of ['a/pipe', 'a/zero']) {
    await expect(files.write(at(directory, name), content('x'), NEVER)).rejects.toMatchObject({ kind: 'exists' });
    await expect(
      files.read(at(directory, name), { offset: 0n, length: 0n }, NEVER)[Symbol.asyncIterator]().next(),
    ).rejects.toThrow('no regular file');
  }
  await change({ is: 'set', ...at(directory, 'a/b/file'), mode: 0o600, modified: { seconds: 5n, nanos: 6 } });
  expect(statSync(join(directory, 'a/hard'), { bigint: true }).mtimeNs).toBe(5_000_000_006n);
  await change({ is: 'rename', ...at(directory, 'a/hard'), to: Buffer.from(join(directory, 'moved')) });
  await expect(change({ is: 'remove', ...at(join(directory, 'a')), recursive: false })).rejects.toMatchObject({
    kind: 'exists',
  });
  mkdirSync(join(directory, 'keep'));
  writeFileSync(join(directory, 'keep/me'), '');
  symlinkSync('../../keep', join(directory, 'a/b/keep'));
  await change({ is: 'remove', ...at(join(directory, 'a')), recursive: true });
  expect([existsSync(join(directory, 'a')), existsSync(join(directory, 'keep/me'))]).toEqual([false, true]);
  for (const path of ['/', `${directory}/.`, `${directory}/..`])
    await expect(change({ is: 'remove', ...at(path), recursive: true })).rejects.toMatchObject({ kind: 'refused' });
});

test('a full disk is told, and leaves nothing', async () => {
  const mount = join(directory, 'small');
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', mount]);
  onTestFinished(() => void execFileSync('umount', ['-l', mount]));
  const many = Array.from({ length: 64 }, () => 'x'.repeat(64 << 10));
  // The agent of this test is in the namespace of mounts of this process.
  await expect(files.write(at(join(mount, 'file')), content(...many), NEVER)).rejects.toMatchObject({
    ...{ kind: 'full', message: 'Cannot write the file in the guest: No space left on device' },
  });
  expect(readdirSync(mount)).toEqual([]);
});

test('names and requests that are none are refused', async () => {
  await expect(files.stat(at('relative'), NEVER)).rejects.toThrow('not absolute');
  await expect(files.stat(at(`/${'x'.repeat(300)}`), NEVER)).rejects.toMatchObject({ kind: 'refused' });
  await expect(files.stat(at(`/${'x/'.repeat(20_000)}`), NEVER)).rejects.toMatchObject({ kind: 'refused' });
  await expect(files.stat(at('/', 'x/'.repeat(40_000)), NEVER)).rejects.toMatchObject({ kind: 'invalid' });
  await expect(files.list(at('/etc/passwd'), NEVER)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    kind: 'refused',
  });
});

test('rubbish of every kind neither ends the file server in another way than in order, nor makes the agent grow', async () => {
  await using process = await startAgent();
  const heads = Array.from({ length: 40 }, (_, i) => {
    const path = Buffer.concat([Buffer.from('/proc/self/'), randomBytes(i)]).map((byte) => byte || 1);
    // Only looks: this is a real machine.
    const request = Buffer.from(requestRecord({ op: 1 + (i % 3), path, below: randomBytes(i % 7) }));
    if (i % 4 === 1) request[5 + 6 + (i % 50)] = i * 7; // of the numbers and the lengths
    if (i % 4 === 2) request[4] = i; // the record's own length
    if (i % 4 === 3) request[0] = 40 + (i % 9);
    return request;
  });
  for (const [i, head] of heads.entries()) {
    const socket = await process.connect();
    socket.write(filesRequest());
    socket.write(agentFrame(AGENT_FRAME.stdin, Buffer.concat([head, randomBytes(200 * i)])));
    socket.write(agentFrame(AGENT_FRAME.stdinEnd));
    const decoder = new AgentDecoder();
    let code: number | undefined;
    for await (const bytes of socket)
      for (const { type, data } of decoder.push(bytes)) if (type === AGENT_FRAME.exit) code = parseExit(data).code;
    expect([0, 1]).toContain(code); // 128 + n: a signal ended it
  }
  const status = readFileSync(`/proc/${process.pid}/status`, 'utf8');
  expect(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(4_000);
});

test('gives and tells extended attributes: those of users, and what a program may do', async () => {
  const path = join(directory, 'program');
  // cap_net_bind_service=ep, as the kernel keeps it.
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  const extended = [
    { name: Buffer.from('user.origin'), value: Buffer.from([0, 255, 10]) },
    { name: Buffer.from('user.empty'), value: Buffer.alloc(0) },
    { name: Buffer.from('security.capability'), value: capability },
  ];
  const lost: number[] = [];
  const onExtendedLost = (count: number): void => void lost.push(count);
  const owner = { uid: 7, gid: 8 };
  await files.write({ ...at(path), mode: 0o755, owner, extended, onExtendedLost }, content('text'), NEVER);
  expect(execFileSync('getcap', [path]).toString()).toContain('cap_net_bind_service=ep');
  const sorted = (file: GuestFile | undefined) =>
    file?.extended?.map(({ name, value }) => `${text(name)} ${text(value)}`).sort();
  const asked = { wantsExtended: true };
  const wanted = sorted({ extended } as unknown as GuestFile);
  expect(sorted(await files.stat({ ...at(path), ...asked }, NEVER))).toEqual(wanted);
  expect(await files.stat(at(path), NEVER)).not.toHaveProperty('extended');

  await files.change({ is: 'set', ...at(directory), extended: extended.slice(0, 2), onExtendedLost }, NEVER);
  expect(sorted(await files.stat({ ...at(directory), ...asked }, NEVER))).toEqual(wanted?.slice(1));
  writeFileSync(join(directory, 'plain'), '');
  const all: GuestFile[] = [];
  for await (const some of files.list({ ...at(directory), ...asked }, NEVER)) all.push(...some);
  expect(Object.fromEntries(all.map((file) => [text(file.name), sorted(file)]))).toEqual({
    program: wanted,
    plain: [],
  });
  expect(lost).toEqual([]);

  // What a file system does not take, what is nobody's to give, and what no agent takes.
  const others = ['trusted.mine', 'security.selinux', 'nonsense'].map((name) => ({
    name: Buffer.from(name),
    value: Buffer.from('x'),
  }));
  const large = { name: Buffer.from('user.large'), value: Buffer.alloc(40 << 10) };
  await files.write({ ...at(path), extended: [...others, large], onExtendedLost }, content('again'), NEVER);
  expect(lost).toEqual([1, 3]);
  expect(sorted(await files.stat({ ...at(path), ...asked }, NEVER))).toEqual([]);
});

test('one process serves operation after operation, keeps no file open, and ends a second after the last', async () => {
  const agent = await startAgent();
  files = await filesBy(agent);
  const path = join(directory, 'file');
  const children = () => readFileSync(`/proc/${agent.pid}/task/${agent.pid}/children`, 'utf8').trim();
  await files.write(at(path), content('text'), NEVER);
  const server = children();
  expect(server).toMatch(/^[0-9]+$/);
  const open = () => readdirSync(`/proc/${server}/fd`).length;
  const before = open();
  for (let i = 0; i < 40; i++) {
    await files.write({ ...at(directory, `a${i}`), mode: 0o600 }, content('some', 4096n, 'more'), NEVER);
    expect((await read(path)).text).toBe('text');
    await files.stat(at(path), NEVER);
    await expect(files.stat(at(directory, 'none'), NEVER)).rejects.toMatchObject({ kind: 'not_found' });
    await expect(files.write(at(directory), content('x'), NEVER)).rejects.toThrow();
    await list(directory);
    await files.change({ is: 'make directory', ...at(directory, `d${i}`), parents: false }, NEVER);
    await files.change({ is: 'remove', ...at(directory, `d${i}`), recursive: true }, NEVER);
  }
  expect(children().split(' ')).toContain(server);
  expect(open()).toBe(before);
  await vi.waitFor(() => expect(children()).toBe(''), { timeout: 10_000 });
});
