import { expect, test } from 'vitest';
import { fakeFiles } from '../../test/support/fake-files.ts';
import { parseReference, type Reference } from './reference.ts';
import { Skopeo, type SkopeoOptions } from './skopeo.ts';

const signal = new AbortController().signal;
const reference = (text: string): Reference => {
  const parsed = parseReference(text);
  if ('wrong' in parsed) throw new Error(parsed.wrong);
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
    tool: new Skopeo({ run, files, insecureRegistries, lookupTimeoutMs: 1, pullTimeoutMs: 2, ...more }),
  };
}

test('a registry is asked as it is configured', async () => {
  const { tool, calls } = skopeo({ authFile: '/auth.json' });
  await tool.manifest(reference('localhost:5000/a:v1'), '/tmp/s', signal);
  await tool.copy(reference('ghcr.io/a/b'), '/l', '/tmp/s', signal);
  expect(calls).toEqual([
    'skopeo --tmpdir /tmp/s inspect --raw --authfile /auth.json --tls-verify=false docker://localhost:5000/a:v1 (1)',
    'skopeo --tmpdir /tmp/s copy --quiet --authfile /auth.json docker://ghcr.io/a/b:latest oci:/l:image (2)',
  ]);
});

test('a local image needs no credentials; without a policy of the host none is asked for', async () => {
  const { tool, calls } = skopeo({ authFile: '/auth.json', files: fakeFiles({}) });
  await tool.copy(reference('oci:/srv/x:v1'), '/l', '/tmp/s', signal);
  expect(calls).toEqual(['skopeo --tmpdir /tmp/s --insecure-policy copy --quiet oci:/srv/x:v1 oci:/l:image (2)']);
});
