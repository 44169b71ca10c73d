import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GREETING, startQmpServer } from '../../../test/stand-ins/qmp-server.ts';
import { connectQmp, type QmpEvent } from './qmp.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fl-qmp-'));
  path = join(directory, 's');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const never = new AbortController().signal;
const ignore = (): void => undefined;

test('a command is answered with what QEMU returns, or its refusal', async () => {
  await using server = await startQmpServer(path);
  const qmp = await connectQmp(path, { signal: never, onEvent: ignore });
  expect(await qmp.execute('query-status')).toEqual({ status: 'running', running: true });
  await expect(qmp.execute('nonsense')).rejects.toMatchObject({
    kind: 'refused',
    message: 'QEMU refused nonsense: no nonsense here',
  });
  expect(server.commands).toEqual(['qmp_capabilities', 'query-status', 'nonsense']);
  qmp.close();
  await qmp.closed;
});

test('events are heard from the greeting on, however the bytes come', async () => {
  const early = '{"event": "NICE", "data": {"is": "ö"}}\r\n';
  await using server = await startQmpServer(path, `${GREETING}${early}`);
  const events: QmpEvent[] = [];
  const qmp = await connectQmp(path, { signal: never, onEvent: (event) => events.push(event) });
  await qmp.execute('query-status'); // nothing of its answers comes in between
  const bytes = Buffer.from('{"event": "SPLIT", "data": {"is": "ö"}}\r\n\r\n{"event": "BARE"}\n');
  const half = bytes.indexOf(0xc3) + 1; // in the middle of a character
  server.raw(Buffer.concat([Buffer.from('{"event": "FIRST"}\n'), bytes.subarray(0, half)]));
  await expect.poll(() => events.at(-1)?.event).toBe('FIRST');
  server.raw(bytes.subarray(half));
  await expect.poll(() => events.at(-1)?.event).toBe('BARE');
  expect(events[0]).toEqual({ event: 'NICE', data: { is: 'ö' } });
  expect(events.slice(-2)).toEqual([
    { event: 'SPLIT', data: { is: 'ö' } },
    { event: 'BARE', data: {} },
  ]);
  qmp.close();
});

test('what was asked fails when the connection ends', async () => {
  await using server = await startQmpServer(path);
  server.answers.set('slow', undefined);
  const qmp = await connectQmp(path, { signal: never, onEvent: ignore });
  const asked = qmp.execute('slow');
  const failed = expect(asked).rejects.toMatchObject({ kind: 'tool', message: expect.stringContaining('slow') });
  await expect.poll(() => server.commands).toContain('slow');
  server.hangUp();
  await failed;
  await qmp.closed;
  await expect(qmp.execute('query-status')).rejects.toMatchObject({ kind: 'tool' });
});

test('no socket is a fault that names it', async () => {
  await expect(connectQmp(path, { signal: never, onEvent: ignore })).rejects.toMatchObject({
    kind: 'tool',
    message: expect.stringContaining(path),
  });
});

test('without a greeting the signal ends the wait, with its reason', async () => {
  await using _server = await startQmpServer(path, '');
  const gone = new AbortController();
  const connecting = connectQmp(path, { signal: gone.signal, onEvent: ignore });
  const reason = new Error('enough');
  gone.abort(reason);
  await expect(connecting).rejects.toBe(reason);
  await expect(connectQmp(path, { signal: gone.signal, onEvent: ignore })).rejects.toBe(reason);
});

test.each([
  ['no JSON', 'HTTP/1.1 400 Bad Request\r\n', /HTTP/],
  ['no object', '[1, 2]\n', /\[1, 2\]/],
  ['a line without an end', 'x'.repeat((1 << 20) + 1), /never ends/],
])('%s is no QEMU', async (_, words, message) => {
  await using _server = await startQmpServer(path, words);
  await expect(connectQmp(path, { signal: never, onEvent: ignore })).rejects.toMatchObject({
    kind: 'tool',
    message: expect.stringMatching(message),
  });
});
