import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Front, type Limits } from './front.ts';
import type { Peer } from './gate.ts';
import { RareLog } from './rare-log.ts';
import { speechOf } from './refusal.ts';
import type { Waits } from './waits.ts';

const LIMITS: Limits = { connections: 100, ofOneAddress: 50 };

async function startFront(limits: Partial<Limits> = {}, waits: Partial<Waits> = { firstBytesMs: 60_000 }) {
  const log = memoryLog();
  const taken: { socket: Socket; peer: Peer }[] = [];
  const front = new Front({
    protocol: 'http/1.1',
    rare: new RareLog(log, new FakeClock()),
    take: (socket, peer) => taken.push({ socket, peer }),
    limits: { ...LIMITS, ...limits },
    waits,
  });
  onTestFinished(async () => {
    front.destroy();
    await front.close();
  });
  const endpoint = await front.listen({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  const dial = (): Socket => {
    const socket = connect(endpoint.kind === 'tcp' ? endpoint.port : 0, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume(); // else it never sees its end
    onTestFinished(() => void socket.destroy());
    return socket;
  };
  return { front, log, taken, dial };
}

test('what a connection speaks is seen by its first bytes, one at a time if need be', () => {
  expect(speechOf(Buffer.from([]))).toBeUndefined();
  expect(speechOf(Buffer.from([0x16, 3]))).toBe('tls');
  for (const part of ['P', 'PR']) expect(speechOf(Buffer.from(part))).toBeUndefined();
  expect(speechOf(Buffer.from('PRI * HTTP/2.0'))).toBe('http2');
  for (const method of ['PUT', 'POST', 'PATCH', 'GET', 'PROPFIND']) expect(speechOf(Buffer.from(method))).toBe('http1');
  for (const bytes of ['\0', 'get', '\xff']) expect(speechOf(Buffer.from(bytes, 'latin1'))).toBe('other');
});

test('who takes a connection gets every byte of it, and where it comes from', async () => {
  const { taken, dial } = await startFront();
  const socket = dial();
  socket.setNoDelay(true);
  await once(socket, 'connect');
  socket.write('P');
  await new Promise((resolve) => setImmediate(resolve));
  socket.write('OST / HTTP/1.1\r\n');
  await expect.poll(() => taken).toHaveLength(1);
  expect(taken[0]?.peer).toEqual({ kind: 'tcp', address: '127.0.0.1' });
  const got = taken[0]?.socket;
  let text = '';
  got?.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await expect.poll(() => text).toBe('POST / HTTP/1.1\r\n');
});

test('a connection that says nothing is ended, one that hangs up before is forgotten', async () => {
  const { taken, dial } = await startFront({}, { firstBytesMs: 20 });
  await once(dial(), 'close');
  dial().end('P');
  await expect.poll(() => taken).toEqual([]);
});

test('one address may have so many at once, and again when some have ended', async () => {
  const { taken, dial, log } = await startFront({ ofOneAddress: 2 });
  const first = [dial(), dial()];
  for (const socket of first) socket.write('GET');
  await expect.poll(() => taken).toHaveLength(2);
  await once(dial(), 'close');
  await once(dial(), 'close');
  expect(log.lines.map(({ message }) => message)).toEqual(['a connection was refused: too many of one address']);
  for (const { socket } of taken) socket.destroy();
  await expect
    .poll(async () => {
      const next = dial();
      next.write('GET');
      await Promise.race([once(next, 'close'), expect.poll(() => taken.length).toBeGreaterThan(2)]).catch(() => {});
      return taken.length;
    })
    .toBeGreaterThan(2);
});

test('a listener has so many at most', async () => {
  const { taken, dial, log } = await startFront({ connections: 1 });
  dial().write('GET');
  await expect.poll(() => taken).toHaveLength(1);
  await once(dial(), 'close');
  expect(log.lines.map(({ message }) => message)).toEqual(['connections were refused: there are too many']);
});

test('closing waits for those that are taken, not for those that say nothing', async () => {
  const { front, taken, dial } = await startFront();
  const silent = dial();
  dial().write('GET');
  await expect.poll(() => taken).toHaveLength(1);
  const closed = front.close();
  await once(silent, 'close');
  taken[0]?.socket.destroy();
  await closed;
});
