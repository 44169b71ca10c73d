import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { scratchDirectory, startApi, type TestApi } from '../../test/support/api.ts';
import { poll } from '../../test/support/daemon.ts';
import { SAMPLE_UID, sampleSpec, sampleVm } from '../../test/support/fake-services.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { formatEndpoint } from './endpoint.ts';

const NGINX = resolve(import.meta.dirname, '../../.cache/tools/usr/sbin/nginx');

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address ? address.port : 0;
}

/** nginx with nothing set but where to; it packs whatever it may. @returns its ports for HTTP and gRPC */
async function nginx(api: TestApi): Promise<{ readonly http: number; readonly grpc: number }> {
  const directory = await scratchDirectory();
  const [http, grpc] = [await freePort(), await freePort()];
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/tmp/${name};`,
  );
  const configuration = join(directory, 'nginx.conf');
  await mkdir(join(directory, 'tmp'));
  await writeFile(
    configuration,
    `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; master_process off; pid ${directory}/pid; error_log stderr;
    events {}
    http {
      access_log off; ${temporary.join(' ')}
      gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
      server { listen 127.0.0.1:${http}; location / { proxy_pass http://${formatEndpoint(api.http)}; } }
      server { listen 127.0.0.1:${grpc} http2; location / { grpc_pass grpc://${formatEndpoint(api.grpc)}; } }
    }`,
  );
  const child = spawn(NGINX, ['-c', configuration, '-p', directory], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const gone = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  await poll('nginx passes on', 20_000, async () => {
    const answer = await fetch(`http://127.0.0.1:${http}/healthz`).catch(() => undefined);
    return answer?.status === 200 ? { is: undefined } : { not: `${answer?.status}, ${said}` };
  });
  return { http, grpc };
}

/** A watch whose second event comes when the first has been seen. */
function slowWatch() {
  const { promise: seen, resolve: see } = Promise.withResolvers<void>();
  return {
    see,
    services: {
      async *watch(_request: object, signal: AbortSignal) {
        yield { type: 'ADDED' as const, vm: sampleVm(), cursor: 'e.1', at: 0 };
        await seen;
        yield { type: 'BOOKMARK' as const, cursor: 'e.2', at: 0 };
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      async *readConsole() {
        yield Buffer.from('first');
        await seen;
        yield Buffer.from('second');
      },
    },
  };
}

async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, text: string): Promise<string> {
  let all = '';
  while (!all.includes(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`it ended: ${all}`);
    all += Buffer.from(value).toString();
  }
  return all;
}

const why = existsSync(NGINX) ? '' : ': nginx is not in .cache/tools, npm run setup -- --tests puts it there';
describe.skipIf(why !== '')(`behind nginx as it is shipped${why}`, () => {
  test.each([
    ['events', '/v1/watch', 'id: e.1', 'id: e.2'],
    ['a console', `/v1/microvms/${SAMPLE_UID}/console?follow=true`, 'first', 'second'],
  ])('%s come when they happen, whole', async (_name, path, first, second) => {
    const { see, services } = slowWatch();
    const { http } = await nginx(await startApi(services));
    const end = new AbortController();
    onTestFinished(() => end.abort());
    const begin = performance.now();
    const { body } = await fetch(`http://127.0.0.1:${http}${path}`, { signal: end.signal });
    const reader = body?.getReader();
    if (!reader) throw new Error('there is no body');
    // The next comes only now: a proxy that collects would wait for it for ever.
    await readUntil(reader, first);
    expect(performance.now() - begin).toBeLessThan(1_000);
    see();
    await readUntil(reader, second);
  });

  test('a quiet stream says that it lives', async () => {
    const { services } = slowWatch();
    const { http } = await nginx(await startApi(services, { keepAliveMs: 50 }));
    const end = new AbortController();
    onTestFinished(() => end.abort());
    const { body } = await fetch(`http://127.0.0.1:${http}/v1/watch`, { signal: end.signal });
    const reader = body?.getReader();
    if (reader) await readUntil(reader, ': still there\n\n: still there');
  });

  test('gRPC passes: long answers, streams, errors and their details', async () => {
    const { see, services } = slowWatch();
    const metadata = { 'user-data': Buffer.alloc(700_000, 'x').toString('base64') };
    const api = await startApi({
      ...services,
      list: async () => ({
        vms: [1, 2, 3].map(() => sampleVm({ spec: { ...sampleSpec, metadata } })),
        nextPageToken: '',
      }),
    });
    const { grpc } = await nginx(api);
    const vms = createClient(MicroVMService, createGrpcTransport({ baseUrl: `http://127.0.0.1:${grpc}` }));
    expect((await vms.listMicroVMs({})).microvm[2]?.spec?.metadata).toEqual(metadata);
    const end = new AbortController();
    const events = vms.watchMicroVMs({}, { signal: end.signal })[Symbol.asyncIterator]();
    expect((await events.next()).value?.cursor).toBe('e.1');
    see();
    expect((await events.next()).value?.cursor).toBe('e.2');
    end.abort();
    const refused = await vms.getMicroVM({ uid: 'none' }).catch((error: unknown) => ConnectError.from(error));
    expect(refused).toMatchObject({ code: Code.NotFound, rawMessage: expect.stringContaining('not found') });
  });
});
