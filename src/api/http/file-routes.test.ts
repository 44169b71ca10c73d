import { type ClientRequest, request } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { startApi, type TestApi, tokensOf } from '../../../test/support/api.ts';
import { SAMPLE_UID } from '../../../test/support/fake-services.ts';
import type { Services } from '../../service/services.ts';

const FILE = `/v1/microvms/${SAMPLE_UID}/files?path=/srv/x`;

/** Takes what comes, and says how much. */
const writeFile: Services['writeFile'] = async (_request, content) => {
  let bytes = 0n;
  for await (const one of content) if (one.is === 'data') bytes += BigInt(one.data.length);
  return bytes;
};

function begin({ http }: TestApi, method: string, path: string, headers = {}): ClientRequest {
  if (http.kind !== 'tcp') throw new Error('it is on TCP');
  const asked = request({ host: http.host, port: http.port, method, path, headers, agent: false });
  asked.on('error', () => undefined);
  onTestFinished(() => void asked.destroy());
  return asked;
}

test('one of which nothing comes is cut off', async () => {
  const api = await startApi({ writeFile }, { flow: { stalledMs: 100 } });
  const upload = begin(api, 'PUT', FILE);
  upload.write('begun');
  await new Promise((resolve) => upload.once('close', resolve));
});

test('a body of JSON is a file as any other; who may not write may not', async () => {
  const tokens = tokensOf({ name: 'ci', secret: 'all' }, { name: 'look', secret: 'look', access: 'read-only' });
  const api = await startApi({ writeFile }, { tokens });
  const put = (token: string) =>
    api.fetch(FILE, {
      ...{ method: 'PUT', body: '{"a":1}' },
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    });
  expect(await (await put('all')).json()).toEqual({ files: 1, bytes: '7' });
  expect((await put('look')).status).toBe(403);
  expect((await put('none')).status).toBe(401);
  const got = await api.fetch(FILE, { headers: { authorization: 'Bearer look' } });
  expect(got.status).toBe(403);
});
