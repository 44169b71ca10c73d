/**
 * A registry that misbehaves as its repositories are named: `hang/x`, `cut/x`,
 * … It serves one layout under all of them, over plain HTTP on loopback.
 * Run as a program, in a test's network namespace: node registry.ts LAYOUT PORT [--log=FILE]
 * FILE gets a line of each request, before it is answered: `GET /v2/…`.
 *
 * @see https://github.com/opencontainers/distribution-spec
 */
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';

interface Entry {
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

function mediaTypeIn(manifest: Buffer): string {
  try {
    return (JSON.parse(manifest.toString()) as Entry).mediaType ?? OCI_MANIFEST;
  } catch {
    return OCI_MANIFEST; // one that is none
  }
}

const half = (bytes: Buffer): Buffer => bytes.subarray(0, Math.floor(bytes.length / 2));

/** What becomes of a layer's bytes. */
const BLOBS: Readonly<Record<string, (response: ServerResponse, bytes: Buffer) => void>> = {
  hang: (response, bytes) => void response.write(half(bytes)),
  cut: (response, bytes) => void response.write(half(bytes), () => response.socket?.destroy()),
  corrupt: (response, bytes) => void response.end(Buffer.from(bytes).fill(0, half(bytes).length)),
  slow: (response, bytes) => {
    const step = Math.ceil(bytes.length / 8);
    const send = (at: number): void => {
      if (at >= bytes.length) response.end();
      else response.write(bytes.subarray(at, at + step), () => setTimeout(send, 100, at + step));
    };
    send(0);
  },
};

/** What is said of how many they are. */
const LENGTHS: Readonly<Record<string, (length: number) => number>> = {
  more: (length) => length + 1_000,
  fewer: (length) => length - 10,
};

/** A manifest that is none. */
const MANIFESTS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  page: (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>please log in</html>'),
  huge: (response) => void response.writeHead(200, { 'content-type': OCI_MANIFEST }).end(Buffer.alloc(5 << 20, ' ')),
  endless: (response) => {
    response.writeHead(200, { 'content-type': OCI_MANIFEST });
    // Too little to become too large before the time is up.
    const more = (): void => void response.write(Buffer.alloc(4_096, ' '), (error) => !error && setTimeout(more, 5));
    more();
  },
};

/** `long-moves`: its tag leads elsewhere once its manifest was asked for by a digest. As `long` it has none by a digest of ours. */
let hasMoved = false;

async function serve(layout: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refuse = (status: number, code: string, headers = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replace('_', ' ') }] }));
  };
  const path = request.url ?? '';
  if (path === '/v2/') return void response.writeHead(200).end('{}');
  const [, how = '', kind, name = ''] = /^\/v2\/([^/]+)\/[^/]+\/(manifests|blobs)\/(.+)$/.exec(path) ?? [];
  if (how === 'silent') return;
  if (how === 'broken') return refuse(500, 'UNKNOWN');
  if (how === 'login') return refuse(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="lab"' });
  if (how === 'gone' || kind === undefined) return refuse(404, 'MANIFEST_UNKNOWN');

  const blob = (digest: string): Promise<Buffer> => readFile(join(layout, 'blobs', digest.replace(':', '/')));
  if (kind === 'blobs') {
    const bytes = await blob(name);
    const isLayer = bytes[0] === 0x1f; // gzip
    if (isLayer && how === 'ill') return refuse(500, 'UNKNOWN');
    if (isLayer && how === 'round') return void response.writeHead(307, { location: path }).end();
    if (isLayer && how === 'elsewhere') return void response.writeHead(307, { location: 'http://127.0.0.1:9/x' }).end();
    const length = isLayer ? (LENGTHS[how]?.(bytes.length) ?? bytes.length) : bytes.length;
    response.writeHead(200, { 'content-length': length });
    const send = isLayer ? BLOBS[how] : undefined;
    return send ? send(response, bytes) : void response.end(bytes);
  }
  const manifest = MANIFESTS[how];
  if (manifest) return manifest(response);
  const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as { manifests: Entry[] };
  const called = (tag: string): Entry | undefined =>
    manifests.find((m) => m.annotations?.['org.opencontainers.image.ref.name'] === tag);
  const entry = called(name);
  const isLong = how === 'long' || how === 'long-moves';
  if (isLong && name.startsWith('sha256:')) {
    hasMoved ||= how === 'long-moves';
    return refuse(404, 'MANIFEST_UNKNOWN');
  }
  const now = how === 'long-moves' && hasMoved ? called('v2') : entry;
  const bytes = await blob(now?.digest ?? name);
  const mediaType = mediaTypeIn(bytes);
  const isWrong = how === 'wrong' && !entry; // asked for by its digest
  const long = `sha512:${createHash('sha512').update(bytes).digest('hex')}`;
  const digest = isLong ? long : (entry?.digest ?? name);
  response.writeHead(200, { 'content-type': mediaType, 'docker-content-digest': digest });
  response.end(isWrong ? Buffer.concat([bytes, Buffer.from(' ')]) : bytes);
}

const [layout = '', port = '', ...more] = process.argv.slice(2);
const log = more.find((word) => word.startsWith('--log='))?.slice('--log='.length) ?? '';
createServer((request, response) => {
  if (log !== '') appendFileSync(log, `${request.method} ${request.url}\n`);
  serve(layout, request, response).catch(() => response.destroy());
}).listen(Number(port), '127.0.0.1');
