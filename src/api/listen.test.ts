import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { scratchDirectory } from '../../test/support/api.ts';
import { listen } from './listen.ts';

function server(): Server {
  const made = createServer();
  onTestFinished(() => void made.close());
  return made;
}

test('port 0 becomes the real port; a taken one is named', async () => {
  const endpoint = await listen(server(), { kind: 'tcp', host: 'localhost', port: 0 });
  expect(endpoint).toEqual({ kind: 'tcp', host: 'localhost', port: expect.any(Number) });
  const again = listen(server(), endpoint);
  await expect(again).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringMatching(/localhost:\d+: it is in use/),
  });
});

test('connections are bounded: guests need files too', async () => {
  const made = server();
  await listen(made, { kind: 'tcp', host: 'localhost', port: 0 });
  expect(made.maxConnections).toBe(4_096);
});

test('an address that is not ours is refused', async () => {
  const wrong = listen(server(), { kind: 'tcp', host: '192.0.2.1', port: 0 });
  await expect(wrong).rejects.toMatchObject({ kind: 'refused', message: expect.stringContaining('no such address') });
});

test('a socket is for owner and group, and goes with its server', async () => {
  const path = join(await scratchDirectory(), 'api.sock');
  const first = server();
  await listen(first, { kind: 'unix', path }, { socketGid: process.getgid?.() ?? 0 });
  expect((await stat(path)).mode & 0o777).toBe(0o660);
  await expect(listen(server(), { kind: 'unix', path })).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('another program answers'),
  });
  first.close();
  await once(first, 'close');
  await expect(stat(path)).rejects.toThrow('ENOENT');
});

test('a socket that a killed program left is replaced', async () => {
  const path = join(await scratchDirectory(), 'api.sock');
  const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', program], { timeout: 5_000 });
  expect((await stat(path)).isSocket()).toBe(true);
  await listen(server(), { kind: 'unix', path });
});

test('a file that is no socket stays', async () => {
  const path = join(await scratchDirectory(), 'api.sock');
  await writeFile(path, 'precious');
  await expect(listen(server(), { kind: 'unix', path })).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('no socket'),
  });
});

test('a directory that is not there is said', async () => {
  const path = join(await scratchDirectory(), 'no', 'api.sock');
  await expect(listen(server(), { kind: 'unix', path })).rejects.toMatchObject({
    message: expect.stringContaining('its directory is not there'),
  });
});
