import { once } from 'node:events';
import { utimesSync, writeFileSync } from 'node:fs';
import { createServer as createPlain, type RequestListener, type Server } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Authority } from '../../test/support/certificates.ts';
import type { RegistryRequest } from '../ports/registries.ts';
import { createAskRegistry } from './ask-registry.ts';

async function listening(server: Server): Promise<URL> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return new URL(`${'setSecureContext' in server ? 'https' : 'http'}://127.0.0.1:${port}/v2/x/manifests/v1`);
}

const ask = (url: URL, more: Partial<RegistryRequest> = {}, registry = createAskRegistry()) =>
  registry({
    ...{ method: 'HEAD', url, headers: { accept: 'a, b' }, anyCertificate: false, timeoutMs: 20_000 },
    signal: new AbortController().signal,
    ...more,
  });

const answer: RequestListener = (request, response) => {
  response.writeHead(200, { 'docker-content-digest': 'sha256:aa', 'x-asked': `${request.method} ${request.url}` });
  response.end(`for ${request.headers.accept}`);
};

test('one request, its status, headers and body', async () => {
  const url = await listening(createPlain(answer));
  expect(await ask(url)).toMatchObject({
    ...{ status: 200, body: '' },
    headers: { 'docker-content-digest': 'sha256:aa', 'x-asked': 'HEAD /v2/x/manifests/v1' },
  });
  expect(await ask(url, { method: 'GET' })).toMatchObject({ status: 200, body: 'for a, b' });
});

test('a certificate that nobody vouches for is refused, but where any will do', async () => {
  const [ours, other] = [new Authority(), new Authority('other')];
  const { key, cert } = ours.issue('registry');
  const url = await listening(createSecure({ key, cert }, answer));
  await expect(ask(url)).rejects.toThrow(/certificate|self-signed|issuer/i);
  expect(await ask(url, { anyCertificate: true })).toMatchObject({ status: 200 });
  // Whom the host trusts is asked again when that has changed.
  const trusted = join(ours.directory, 'trusted.pem');
  const trusting = createAskRegistry(trusted);
  await expect(ask(url, {}, trusting)).rejects.toThrow('ENOENT');
  writeFileSync(trusted, ours.own.cert);
  expect(await ask(url, {}, trusting)).toMatchObject({ status: 200 });
  writeFileSync(trusted, other.own.cert);
  utimesSync(trusted, 1, 1);
  await expect(ask(url, {}, trusting)).rejects.toThrow(/certificate|self-signed|issuer/i);
});

test('a certificate of another name is refused, whoever vouches for it', async () => {
  const ours = new Authority();
  const { key, cert } = ours.issue('registry', { names: 'DNS:registry.test' });
  const url = await listening(createSecure({ key, cert }, answer));
  await expect(ask(url, {}, createAskRegistry(ours.own.certFile))).rejects.toThrow(/altnames|does not match/i);
});

test('plain text where TLS is spoken fails, and the other way round', async () => {
  const plain = await listening(createPlain(answer));
  const secured = new URL(plain);
  secured.protocol = 'https:';
  await expect(ask(secured, { anyCertificate: true })).rejects.toThrow();
});

test('a redirect is an answer, and is not followed', async () => {
  const url = await listening(createPlain((_, response) => response.writeHead(307, { location: '/y' }).end()));
  expect(await ask(url)).toMatchObject({ status: 307, headers: { location: '/y' } });
});

test('an answer that does not come or does not end is given up; so is one that nobody wants', async () => {
  const silent = await listening(createPlain(() => undefined));
  await expect(ask(silent, { timeoutMs: 200 })).rejects.toThrow(/timeout|aborted/i);
  const gone = new AbortController();
  const asked = ask(silent, { signal: gone.signal });
  gone.abort(new Error('gone'));
  await expect(asked).rejects.toThrow();
  const endless = await listening(
    createPlain((_, response) => {
      const more = (): void => void response.write(Buffer.alloc(16 << 10), (error) => !error && more());
      more();
    }),
  );
  await expect(ask(endless, { method: 'GET' })).rejects.toThrow('more than 65536 bytes');
});

test('nobody there is an error', async () => {
  const server = createPlain(answer);
  const url = await listening(server);
  server.close();
  await expect(ask(url)).rejects.toThrow('ECONNREFUSED');
});
