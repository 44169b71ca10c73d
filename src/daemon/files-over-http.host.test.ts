import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startAgent } from '../../test/support/agent-process.ts';
import { startApi, type TestApi } from '../../test/support/api.ts';
import { SAMPLE_UID } from '../../test/support/fake-services.ts';
import { createMeetAgent } from '../agent/agent.ts';
import { tarHeader } from '../api/tar/header.ts';
import { Fault } from '../domain/fault.ts';
import { clock } from '../host/clock.ts';
import type { GuestFile } from '../ports/guest-files.ts';
import type { Services } from '../service/services.ts';

const run = promisify(execFile);
const FILES = `/v1/microvms/${SAMPLE_UID}/files`;

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fl-http-files-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** The API before the real agent, as a process of this machine: its files are ours. */
async function stage(flow = {}): Promise<TestApi> {
  const process = await startAgent();
  onTestFinished(() => process[Symbol.asyncDispose]());
  const way = { is: 'connections', dial: process.dial } as const;
  const { agent, close } = await createMeetAgent({ clock, randomBytes })(way, () => true, AbortSignal.timeout(60_000));
  onTestFinished(close);
  const { files } = agent;
  const services: Partial<Services> = {
    statFile: ({ place }, signal) => files.stat(place, signal),
    listFiles: ({ place }, signal) => files.list(place, signal),
    readFile: ({ place, ...range }, signal) => files.read(place, range, signal),
    writeFile: ({ writing }, content, signal) => files.write(writing, content, signal),
    changeFile: ({ change }, signal) => files.change(change, signal),
  };
  return startApi(services, { flow });
}

const at = (path: string, more = ''): string => `${FILES}?path=${encodeURIComponent(path)}${more}`;

const put = (api: TestApi, path: string, body: Uint8Array): Promise<Response> =>
  api.fetch(path, { method: 'PUT', body: new Uint8Array(body) });

test('one file goes there and comes back, of any type and length, with its mode', async () => {
  const api = await stage();
  const path = join(scratch(), 'a b ü');
  const bytes = randomBytes((5 << 20) + 7);
  const answer = await put(api, at(path, '&mode=0640'), bytes);
  expect(await answer.json()).toEqual({ files: 1, bytes: String(bytes.length) });
  expect([readFileSync(path).equals(bytes), statSync(path).mode & 0o7777]).toEqual([true, 0o640]);
  const back = await api.fetch(at(path));
  expect(back.headers.get('content-type')).toBe('application/octet-stream');
  expect(Buffer.from(await back.arrayBuffer()).equals(bytes)).toBe(true);
  symlinkSync(path, `${path}-link`);
  await put(api, at(`${path}-link`), Buffer.alloc(0));
  expect(readFileSync(path)).toHaveLength(0);
  truncateSync(path, 3 << 20);
  expect((await (await api.fetch(at(path))).arrayBuffer()).byteLength).toBe(3 << 20);
  expect(await (await api.fetch(at('/proc/self/status'))).text()).toContain('flintlock-agent');
});

test('a tree goes out as an archive that tar reads, and one that tar made goes in', async () => {
  const api = await stage();
  const directory = scratch();
  const from = join(directory, 'from');
  const long = `${'long-'.repeat(19)}ab`;
  mkdirSync(join(from, 'empty'), { recursive: true });
  mkdirSync(join(from, long), { mode: 0o750 });
  writeFileSync(join(from, long, 'x\ny'), 'named with a line end', { mode: 0o604 });
  linkSync(join(from, long, 'x\ny'), join(from, 'hard'));
  symlinkSync('/nowhere/../at all', join(from, 'link'));
  symlinkSync('t'.repeat(300), join(from, 'long link'));
  writeFileSync(Buffer.concat([Buffer.from(join(from, 'bytes-')), Buffer.of(0xff, 0xfe)]), 'no UTF-8');
  writeFileSync(join(from, 'set-user-ID'), '', { mode: 0o755 });
  await run('chmod', ['4755', join(from, 'set-user-ID')]);
  await run('mkfifo', [join(from, 'pipe')]);
  await run('mknod', [join(from, 'null'), 'c', '1', '3']);
  truncateSync(join(from, 'hard'), 100_000);
  utimesSync(join(from, 'empty'), 1_000_000_000, 1_000_000_000);
  const answer = await api.fetch(at(from, '&archive=tar'));
  expect(answer.headers.get('content-type')).toBe('application/x-tar');
  const archive = join(directory, 'out.tar');
  writeFileSync(archive, Buffer.from(await answer.arrayBuffer()));
  const out = join(directory, 'out');
  mkdirSync(out);
  await run('tar', ['-xpf', archive, '-C', out]);
  await expect(run('diff', ['-r', '--no-dereference', from, out])).rejects.toMatchObject({
    stdout: expect.stringMatching(
      /^(Only in \S+: null|File \S+\/pipe is a fifo.*)(\n(Only in \S+: null|File \S+\/pipe is a fifo.*))*\n?$/,
    ),
  });
  expect(statSync(join(out, 'hard')).ino).toBe(statSync(join(out, long, 'x\ny')).ino);
  expect(statSync(join(out, 'set-user-ID')).mode & 0o7777).toBe(0o755); // not without trust
  expect(statSync(join(out, 'empty')).mtimeMs).toBe(1_000_000_000_000);
  const trusted = await api.fetch(at(from, '&archive=tar&trusted'));
  writeFileSync(archive, Buffer.from(await trusted.arrayBuffer()));
  expect((await run('tar', ['-tvf', archive])).stdout).toMatch(/crw.*1,3.*null[\s\S]*|-rws/);

  for (const options of [
    ...[['--format=gnu'], ['--format=pax'], ['--format=gnu', '-S']],
    ...['0.0', '0.1', '1.0'].map((version) => ['--format=pax', '-S', `--sparse-version=${version}`]),
  ]) {
    const to = join(directory, options.join());
    mkdirSync(to);
    await run('tar', [...options, '-cf', archive, '-C', from, '.']);
    const made = await put(api, at(to, '&archive=tar'), readFileSync(archive));
    expect(await made.json(), options.join(' ')).toMatchObject({ files: expect.any(Number) });
    expect(made.status).toBe(200);
    expect(readFileSync(join(to, long, 'x\ny')).equals(readFileSync(join(from, 'hard')))).toBe(true);
    expect(statSync(join(to, 'hard')).ino).toBe(statSync(join(to, long, 'x\ny')).ino);
    expect(readlinkSync(join(to, 'link'))).toBe('/nowhere/../at all');
    expect(statSync(join(to, 'set-user-ID')).mode & 0o7777).toBe(0o4755);
    expect(statSync(join(to, 'empty')).mtimeMs).toBe(1_000_000_000_000);
    expect(lstatSync(join(to, 'pipe')).isFIFO()).toBe(true);
    // Once more, onto what is there.
    expect((await put(api, at(to, '&archive=tar'), readFileSync(archive))).status).toBe(200);
  }
});

const entry = (
  type: '0' | '1' | '2' | '5',
  name: string,
  more: { target?: string; content?: string } = {},
): Uint8Array => {
  const content = Buffer.from(more.content ?? '');
  const head = tarHeader({
    ...{ type, name: Buffer.from(name), target: Buffer.from(more.target ?? ''), mode: 0o644, uid: 0, gid: 0 },
    ...{ size: BigInt(content.length), modified: 0n, major: 0, minor: 0 },
  });
  return Buffer.concat([head, content, new Uint8Array((512 - (content.length % 512)) % 512)]);
};
const END = new Uint8Array(1024);

test.each<[string, Uint8Array[], number]>([
  ['..', [entry('0', '../out', { content: 'x' }), END], 400],
  ['.. within', [entry('5', 'a'), entry('0', 'a/../../out', { content: 'x' }), END], 400],
  ['a link of its own', [entry('2', 'l', { target: '..' }), entry('0', 'l/out', { content: 'x' }), END], 400],
  ['a link that was there', [entry('0', 'there/out', { content: 'x' }), END], 400],
  ['a directory over a link', [entry('5', 'there'), entry('0', 'there/out', { content: 'x' }), END], 409],
  ['a hard link', [entry('1', 'h', { target: '../secret' }), END], 400],
  ['a hard link through a link', [entry('1', 'h', { target: 'there/secret' }), END], 400],
  ['no name', [entry('0', './.', { content: 'x' }), END], 400],
  ['no archive', [Buffer.alloc(2048, 'x')], 400],
  ['half an archive', [entry('0', 'a', { content: 'x' }).slice(0, 600)], 400],
  ['no end', [entry('0', 'a', { content: 'x' })], 400],
])('what leads out by %s is refused, and nothing is outside', async (_, pieces, status) => {
  const api = await stage();
  const directory = scratch();
  const to = join(directory, 'to');
  mkdirSync(to);
  symlinkSync('..', join(to, 'there'));
  writeFileSync(join(directory, 'secret'), 's');
  const answer = await put(api, at(to, '&archive=tar'), Buffer.concat(pieces));
  expect(answer.status).toBe(status);
  expect([existsSync(join(directory, 'out')), existsSync(join(to, 'h'))]).toEqual([false, false]);
});

test('a request that is cut off leaves the file that was there', async () => {
  const api = await stage();
  if (api.http.kind !== 'tcp') throw new Error('it is on TCP');
  const directory = scratch();
  const path = join(directory, 'kept');
  writeFileSync(path, 'as it was');
  const asked = request({
    ...{ host: api.http.host, port: api.http.port, method: 'PUT', path: at(path) },
    headers: { 'content-length': 1 << 20 },
  });
  asked.on('error', () => undefined);
  asked.write(Buffer.alloc(1_000));
  const others = (): string[] => readdirSync(directory).filter((name) => name !== 'kept');
  await expect.poll(others).toHaveLength(1); // under a name of its own, until it is whole
  asked.destroy();
  await expect.poll(others).toEqual([]);
  expect(readFileSync(path, 'utf8')).toBe('as it was');
});

test.each([
  ['', 400],
  ['?path=relative', 400],
  ['?path=/nowhere/at/all', 404],
  ['?path=/tmp', 400],
  ['?path=/dev/null', 400],
  ['?path=/etc/passwd&archive=zip', 400],
  ['?path=/etc/passwd&mode=0644', 400],
])('GET %s is %i', async (query, status) => {
  const answer = await (await stage()).fetch(`${FILES}${query}`);
  expect(answer.status).toBe(status);
});

test('a guest that lies is cut off, and so the archive is seen to be', async () => {
  const file = (more: Partial<GuestFile>): GuestFile => ({
    ...{
      name: Buffer.from('x'),
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: 4n,
      links: 1n,
      device: 1n,
      inode: 2n,
    },
    ...{ modified: { seconds: 0n, nanos: 0 }, allocated: 0n, target: new Uint8Array(), major: 0, minor: 0, ...more },
  });
  const lies: [string, GuestFile[], bigint][] = [
    ['a name with a slash', [file({ name: Buffer.from('../x') })], 4n],
    ['..', [file({ name: Buffer.from('..') })], 4n],
    ['less than it said', [file({})], 3n],
    ['more than it said', [file({})], 5n],
    ['directories without end', [file({ type: 'directory' })], 4n],
  ];
  for (const [what, listed, bytes] of lies) {
    const api = await startApi({
      statFile: async () => file({ type: 'directory' }),
      async *listFiles() {
        yield listed;
      },
      async *readFile() {
        yield { is: 'file', file: file({}) };
        yield { is: 'data', data: Buffer.alloc(Number(bytes)) };
        yield { is: 'end', changed: false };
      },
    });
    const whole = api.fetch(at('/x', '&archive=tar')).then(async (answer) => {
      if (answer.status !== 200) throw new Fault('tool', String(answer.status));
      return answer.arrayBuffer();
    });
    await expect(whole, what).rejects.toThrow();
  }
});
