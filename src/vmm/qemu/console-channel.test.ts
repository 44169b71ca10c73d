import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { openConsoleSocket } from './console-channel.ts';

const never = new AbortController().signal;

/** A socket as QEMU's serial port has it: each client that comes, after the one that only looks whether it is there. */
async function serialPort() {
  const directory = mkdtempSync('/tmp/flt-console-');
  const path = `${directory}/console.sock`;
  const server = createServer({ allowHalfOpen: true });
  const clients: Socket[] = [];
  let count = 0;
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    clients.push(socket);
    if (count++ === 0) return void socket.resume().once('end', () => socket.end());
    socket.pause();
    server.emit('client', socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(async () => {
    for (const client of clients) client.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  const next = async (): Promise<Socket> => (await once(server, 'client'))[0] as Socket;
  return { path, next, server };
}

/** All that a client sends, read to its end; then QEMU hangs up. */
async function readAll(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of socket.iterator({ destroyOnReturn: false })) parts.push(part as Buffer);
  socket.end();
  return Buffer.concat(parts).toString();
}

test('what is written arrives in order, each piece by a connection that ends with it', async () => {
  const { path, next } = await serialPort();
  const input = await openConsoleSocket(path, never);
  const pieces = ['ls', '\r', 'exit\r'];
  const written = pieces.map((piece) => input.write(Buffer.from(piece)));
  const arrived: string[] = [];
  for (const _ of pieces) arrived.push(await readAll(await next()));
  await Promise.all(written);
  expect(arrived).toEqual(pieces);
  input.close();
  await input.closed;
});

test('what QEMU writes meanwhile is always read', async () => {
  const { path, next } = await serialPort();
  const input = await openConsoleSocket(path, never);
  void input.write(Buffer.from('x'));
  const qemu = await next();
  // More than any buffer on the way holds: it is taken only if it is read.
  await new Promise<void>((resolve, reject) => {
    qemu.write(new Uint8Array(4 << 20), (error) => (error ? reject(error) : resolve()));
  });
  input.close();
});

test('a write waits for a guest that does not read, and ends with the console', async () => {
  const { path, next } = await serialPort();
  const input = await openConsoleSocket(path, never);
  const stuck = input.write(new Uint8Array(4 << 20));
  const refused = expect(stuck).rejects.toThrow(/Cannot write to the console/);
  await next();
  input.close();
  await refused;
  await expect(input.write(Buffer.from('x'))).rejects.toThrow(/it was closed/);
});

test('it tells when QEMU has gone away', async () => {
  const { path, server } = await serialPort();
  const input = await openConsoleSocket(path, never);
  await new Promise((resolve) => server.close(resolve));
  await expect(input.write(Buffer.from('x'))).rejects.toMatchObject({ kind: 'refused' });
  await input.closed;
});

test('a socket that is not there is refused, and an abort obeyed', async () => {
  await expect(openConsoleSocket('/nowhere/console.sock', never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/Cannot open the console \/nowhere\/console\.sock: .*ENOENT/),
  });
  const { path } = await serialPort();
  await expect(openConsoleSocket(path, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});
