import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { openConsoleSocket } from './console.ts';

const never = new AbortController().signal;

/** A socket as QEMU's serial port has it. */
async function serialPort() {
  const directory = mkdtempSync('/tmp/flt-console-');
  const path = `${directory}/console.sock`;
  const server = createServer();
  const clients: Socket[] = [];
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    clients.push(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(async () => {
    for (const client of clients) client.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  const connected = async (): Promise<Socket> => {
    if (clients.length === 0) await once(server, 'connection');
    const [client] = clients;
    if (!client) throw new Error('nobody came');
    return client;
  };
  return { path, connected };
}

test('what is written arrives, and what QEMU writes is always read', async () => {
  const { path, connected } = await serialPort();
  const input = await openConsoleSocket(path, never);
  const qemu = await connected();
  await input.write(Buffer.from('ls\r'));
  expect(String((await once(qemu, 'data'))[0])).toBe('ls\r');
  // More than any buffer on the way holds: it is taken only if it is read.
  await new Promise<void>((resolve, reject) => {
    qemu.write(new Uint8Array(4 << 20), (error) => (error ? reject(error) : resolve()));
  });
  input.close();
  await input.closed;
});

test('a write waits for a guest that does not read, and ends with the console', async () => {
  const { path, connected } = await serialPort();
  const input = await openConsoleSocket(path, never);
  (await connected()).pause();
  const stuck = input.write(new Uint8Array(4 << 20));
  const refused = expect(stuck).rejects.toThrow(/Cannot write to the console/);
  input.close();
  await refused;
  await expect(input.write(Buffer.from('x'))).rejects.toThrow(/it was closed/);
});

test('it tells when QEMU goes away', async () => {
  const { path, connected } = await serialPort();
  const input = await openConsoleSocket(path, never);
  (await connected()).destroy();
  await input.closed;
  await expect(input.write(Buffer.from('x'))).rejects.toMatchObject({ kind: 'refused' });
});

test('a socket that is not there is refused, and an abort obeyed', async () => {
  await expect(openConsoleSocket('/nowhere/console.sock', never)).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/Cannot open the console \/nowhere\/console\.sock: .*ENOENT/),
  });
  const { path } = await serialPort();
  await expect(openConsoleSocket(path, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});
