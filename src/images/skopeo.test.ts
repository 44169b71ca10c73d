import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { Fault } from '../domain/fault.ts';
import { parseReference, type RegistryReference } from './reference.ts';
import { Skopeo, type SkopeoOptions } from './skopeo.ts';

const signal = new AbortController().signal;
const reference = (text: string): RegistryReference => {
  const parsed = parseReference(text);
  if ('wrong' in parsed || parsed.from !== 'registry') throw new Error(text);
  return parsed;
};

function skopeo(more: Partial<SkopeoOptions> = {}) {
  const calls: string[] = [];
  const run: SkopeoOptions['run'] = async (argv, { timeoutMs }) => {
    calls.push(`${argv.join(' ')} (${timeoutMs})`);
    return '{}';
  };
  const files = fakeFiles({ '/etc/containers/policy.json': '{}' });
  const insecureRegistries = ['localhost:5000'];
  return {
    calls,
    tool: new Skopeo({ run, files, insecureRegistries, env: {}, lookupTimeoutMs: 1, pullTimeoutMs: 2, ...more }),
  };
}

test('a registry is asked as it is configured', async () => {
  const { tool, calls } = skopeo({ authFile: '/auth.json' });
  await tool.manifest(reference('localhost:5000/a:v1'), '/tmp/s', signal);
  await tool.manifest(reference('localhost:5000/a:v1'), '/tmp/s', signal, true);
  await tool.copy(reference('ghcr.io/a/b'), '/l', '/tmp/s', signal);
  const { tool: other, calls: more } = skopeo({ files: fakeFiles({}) });
  await other.copy(reference('ghcr.io/a/b'), '/l', '/tmp/s', signal);
  expect(calls).toEqual([
    'skopeo --tmpdir /tmp/s inspect --raw --authfile /auth.json --tls-verify=false docker://localhost:5000/a:v1 (1)',
    'skopeo --tmpdir /tmp/s inspect --raw --config --authfile /auth.json --tls-verify=false docker://localhost:5000/a:v1 (1)',
    'skopeo --tmpdir /tmp/s copy --quiet --authfile /auth.json docker://ghcr.io/a/b:latest dir:/l (2)',
  ]);
  // Without a policy of the host none is asked for.
  expect(more).toEqual([
    'skopeo --tmpdir /tmp/s --insecure-policy copy --quiet docker://ghcr.io/a/b:latest dir:/l (2)',
  ]);
});

test("a proxy's password is in no error", async () => {
  const env = { HTTPS_PROXY: 'http://me:s%40cret@proxy.example:3128', NO_PROXY: '10.0.0.0/8' };
  const run: SkopeoOptions['run'] = async () => {
    throw new Fault('tool', 'skopeo failed: invalid proxy "http://me:s%40cret@proxy.example:3128" (s@cret), not me');
  };
  const error = await skopeo({ env, run })
    .tool.manifest(reference('ghcr.io/a/b'), '/tmp/s', signal)
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ kind: 'tool', message: expect.stringContaining('***@proxy.example:3128') });
  expect(String(error)).not.toMatch(/cret/);
  expect((error as Error).cause).toBeUndefined();
});
