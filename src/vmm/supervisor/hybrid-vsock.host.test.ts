import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { files } from '../../host/files.ts';
import { dialVsock } from './hybrid-vsock.ts';

const ME = process.getuid?.() ?? 0;
const soon = (): AbortSignal => AbortSignal.timeout(60_000);

/** A VMM's socket, and what it does with each that connects. */
async function door(take: (socket: Socket) => void): Promise<{ readonly path: string; readonly directory: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'fl-vsock-'));
  const path = join(directory, 'vsock');
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    take(socket);
  });
  await new Promise<void>((done) => server.listen({ path }, done));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { path, directory };
}

const dial = (path: string, user = ME, signal = soon()) => dialVsock({ path, user }, 1024, files, signal);

test('asks for a port, and what comes behind the answer is read', async () => {
  let asked = '';
  const { path } = await door((socket) => {
    socket.on('data', (bytes: Buffer) => {
      asked += bytes.toString();
      if (asked === 'CONNECT 1024\n') {
        socket.write('OK 10737');
        setImmediate(() => socket.write('41826\nhello '));
      }
      if (asked.endsWith('more')) socket.end('and more');
    });
  });
  const channel = await dial(path);
  await channel.write(Buffer.from('more'));
  let said = '';
  for await (const bytes of channel.read(soon())) said += Buffer.from(bytes).toString();
  expect([asked, said]).toEqual(['CONNECT 1024\nmore', 'hello and more']);
  await channel.closed;
  await expect(channel.write(Buffer.from('x'))).rejects.toMatchObject({ kind: 'refused' });
});

test.each([
  ['nothing listens there', (socket: Socket) => void socket.once('data', () => socket.end()), 'without an answer'],
  ['it is cut off', (socket: Socket) => void socket.once('data', () => socket.destroy()), 'Nothing answers'],
  ['it says something else', (socket: Socket) => void socket.write('NO\n'), 'answered "NO"'],
  ['it says too much', (socket: Socket) => void socket.write('O'.repeat(1_000)), 'answered "OOO'],
])('where %s nothing answers', async (_, take, why) => {
  const { path } = await door(take);
  await expect(dial(path)).rejects.toMatchObject({ kind: 'tool', message: expect.stringContaining(why) });
});

test('who gives up is not kept waiting', async () => {
  const { path } = await door(() => undefined);
  const given = new AbortController();
  const dialled = dial(path, ME, given.signal);
  given.abort(new Error('given up'));
  await expect(dialled).rejects.toThrow('given up');
});

test('only a socket that its own user made is connected to, by its own name', async () => {
  const reached: Socket[] = [];
  const { path, directory } = await door((socket) => reached.push(socket));
  const refused = { kind: 'refused' };
  symlinkSync(path, join(directory, 'link'));
  await expect(dial(join(directory, 'link'))).rejects.toMatchObject(refused);
  writeFileSync(join(directory, 'file'), '');
  await expect(dial(join(directory, 'file'))).rejects.toMatchObject(refused);
  await expect(dial(join(directory, 'nothing'))).rejects.toMatchObject(refused);
  chownSync(path, 77_001, 77_001);
  await expect(dial(path)).rejects.toMatchObject(refused);
  expect(reached).toEqual([]);
  const given = new AbortController();
  const dialled = dial(path, 77_001, given.signal);
  await expect.poll(() => reached.length).toBe(1);
  given.abort();
  await expect(dialled).rejects.toThrow();
});

test('a socket that nobody listens on any more is no way', async () => {
  const { path } = await door(() => undefined);
  // Bound by a process that is gone: its file stays.
  const left = `${path}-left`;
  execFileSync('perl', [
    '-MSocket',
    '-e',
    'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die',
    left,
  ]);
  await expect(dial(left)).rejects.toMatchObject({ kind: 'refused', message: expect.stringContaining('ECONNREFUSED') });
});
