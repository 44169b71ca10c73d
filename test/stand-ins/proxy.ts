/**
 * Stands between a puller and a real registry, and misbehaves as the first
 * part of a repository's name says: `cut/lab/x` is the registry's `lab/x`,
 * whose layers are cut off half-way. Over plain HTTP, or over TLS with a key
 * and a certificate. Run as a program, in a test's network namespace:
 * node proxy.ts PORT REGISTRY-PORT [KEY-FILE CERTIFICATE-FILE]
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, request, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

type Misbehave = (bytes: Buffer, answer: ServerResponse) => void;

const half = (bytes: Buffer): Buffer => bytes.subarray(0, Math.floor(bytes.length / 2));
const cut: Misbehave = (bytes, answer) => void answer.write(half(bytes), () => answer.socket?.destroy());
let tries = 0;
/** Paths of layers: told by their first bytes, and known when somebody asks for the rest of one. */
const layers = new Set<string>();

/** What becomes of a layer's bytes. */
const LAYERS: Readonly<Record<string, Misbehave>> = {
  hang: (bytes, answer) => void answer.write(half(bytes)),
  cut,
  // The first time only: who tries again is served.
  flaky: (bytes, answer) => (tries++ === 0 ? cut(bytes, answer) : void answer.end(bytes)),
  corrupt: (bytes, answer) => void answer.end(Buffer.from(bytes).fill(0, half(bytes).length)),
  slow: (bytes, answer) => {
    const step = Math.ceil(bytes.length / 8);
    const send = (at: number): void => {
      if (at >= bytes.length) answer.end();
      else answer.write(bytes.subarray(at, at + step), () => setTimeout(send, 100, at + step));
    };
    send(0);
  },
};

const [port = '', registry = '', key, cert] = process.argv.slice(2);

const proxy: RequestListener = (asked, answer) => {
  const [, how = '', rest] = /^\/v2\/([a-z]+)\/(.+\/.+)$/.exec(asked.url ?? '') ?? [];
  if (how === 'silent') return;
  const path = rest === undefined ? (asked.url ?? '') : `/v2/${rest}`;
  const { method, headers } = asked;
  const passed = request({ host: '127.0.0.1', port: Number(registry), method, path, headers }, (given) =>
    pass(given, answer, path, LAYERS[how]),
  );
  passed.on('error', () => answer.destroy());
  asked.pipe(passed);
};

function pass(given: IncomingMessage, answer: ServerResponse, path: string, misbehave: Misbehave | undefined): void {
  const parts: Buffer[] = [];
  given.on('data', (part: Buffer) => parts.push(part));
  given.on('end', () => {
    const bytes = Buffer.concat(parts);
    answer.writeHead(given.statusCode ?? 502, given.headers);
    if (path.includes('/blobs/') && bytes[0] === 0x1f) layers.add(path); // gzip
    if (misbehave && layers.has(path)) misbehave(bytes, answer);
    else answer.end(bytes);
  });
}

const server =
  key !== undefined && cert !== undefined
    ? createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, proxy)
    : createServer(proxy);
server.listen(Number(port), '127.0.0.1');
