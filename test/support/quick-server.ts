import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttp2, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Transport } from '@connectrpc/connect';
import { onTestFinished } from 'vitest';
import type { Header } from '../../src/cli/quick/headers.ts';
import { openWhole } from '../../src/cli/whole-transport.ts';

/** Listens on a unix socket of its own until the test is over; its connections end with it. */
export async function serve<T extends Http2Server | Server>(server: T): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'flt-quick-'));
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined); // some cut it
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const path = join(directory, 'sock');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

/** An HTTP/2 server that answers each stream so. @returns the path of its socket */
export const answering = (
  answer: (stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>) => void,
): Promise<string> =>
  serve(
    createHttp2().on('stream', (stream, headers) => {
      stream.on('error', () => undefined); // those that are broken off
      answer(stream as ServerHttp2Stream, headers);
    }),
  );

/** One that says these bytes, whatever it hears. @returns the path of its socket */
export const saying = (bytes: Uint8Array, then: 'end' | 'wait' = 'end'): Promise<string> =>
  serve(createServer((socket) => void (then === 'end' ? socket.end(bytes) : socket.write(bytes))));

/** As long as any of these calls may take. */
export const signal = (): AbortSignal => AbortSignal.timeout(20_000);
/** The headers of a call. */
export const POST: readonly Header[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  [':authority', 'localhost'],
];

/** A frame of HTTP/2 of the stream 1. */
export const frameOf = (kind: number, flags: number, payload: readonly number[]): number[] => [
  ...[0, payload.length >> 8, payload.length & 0xff, kind, flags, 0, 0, 0, 1],
  ...payload,
];
/** The settings that a server begins with, but of the stream 1: of the connection, as they should be, they are `SETTINGS.with(8, 0)`. */
export const SETTINGS = frameOf(4, 0, []);

/** The whole transport to a socket, until the test is over, and how often it was asked for. */
export function countedWhole(socket: string, token?: string) {
  let wholes = 0;
  const whole = async (): Promise<Transport> => {
    wholes++;
    const made = openWhole({ address: { socket }, ...(token !== undefined && { token }) });
    onTestFinished(() => made.close());
    return made.transport;
  };
  return { whole, wholes: () => wholes };
}
