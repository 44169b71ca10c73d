import { expect, test } from 'vitest';
import { chooseEntry } from './choose-entry.ts';
import type { Descriptor } from './manifest.ts';
import { parseManifest } from './manifest.ts';
import { parseReference } from './reference.ts';

const digest = (n: number): string => `sha256:${String(n).repeat(64)}`;
const entry = (n: number, annotations: Record<string, string> = {}, more: object = {}): unknown => ({
  ...{ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digest(n), size: 1, annotations, ...more },
});
const REF = 'org.opencontainers.image.ref.name';
const NAME = 'io.containerd.image.name';
const here = { os: 'linux', architecture: 'amd64' };

const podman = [entry(1, { [REF]: 'localhost/foo:v1' })];
const nameless = [entry(1)];
const two = [entry(1, { [REF]: 'v1' }), entry(2, { [REF]: 'v2' })];
const saved = [
  entry(1, { [NAME]: 'docker.io/library/foo:v1', [REF]: 'v1' }),
  entry(2, { [NAME]: 'docker.io/library/bar:v1', [REF]: 'v1' }),
  entry(3, { [NAME]: 'docker.io/library/bar:latest', [REF]: 'latest' }),
];
const signed = [
  entry(1, { [REF]: 'v1' }),
  entry(2, { [REF]: `sha256-${'1'.repeat(64)}.sig` }),
  entry(3, { 'vnd.docker.reference.type': 'attestation-manifest' }),
];
const attached = [
  entry(1, {}, { platform: here }),
  entry(2, {}, { artifactType: 'application/spdx+json' }),
  entry(3, { [REF]: 'kernel' }, { artifactType: 'application/vnd.example.kernel' }),
];
const platforms = [
  entry(1, { [REF]: 'v1' }, { platform: { os: 'linux', architecture: 'arm64' } }),
  entry(2, { [REF]: 'v1' }, { platform: here }),
];

function choose(entries: readonly unknown[], name: string): string {
  const index = parseManifest(JSON.stringify({ manifests: entries }));
  const reference = parseReference(`oci:/x${name}`);
  if (index.is !== 'index' || 'wrong' in reference || reference.from === 'registry') throw new Error('unexpected');
  const found: Descriptor | { wrong: string } = chooseEntry(index.manifests, reference, here);
  return 'wrong' in found ? found.wrong : String(found.digest[7]);
}

test.each([
  ['podman', podman, ':v1', '1'],
  ['podman', podman, ':foo:v1', '1'],
  ['podman', podman, ':localhost/foo:v1', '1'],
  ['podman, any other', podman, ':other', '1'],
  ['podman, none', podman, '', '1'],
  ['an image with what is attached to it', attached, '', '1'],
  ['an artifact by its name', attached, ':kernel', '3'],
  ['an artifact that is all', attached.slice(1, 2), '', '2'],
  ['nameless', nameless, '', '1'],
  ['nameless', nameless, ':v1', '1'],
  ['nameless', nameless, `@${digest(1)}`, '1'],
  ['two', two, ':v2', '2'],
  ['two', two, `@${digest(2)}`, '2'],
  ['two', two, ':v3', 'it has no tag "v3"; it has oci:/x:v1, oci:/x:v2'],
  ['two', two, '', 'it has not just one image; it has oci:/x:v1, oci:/x:v2'],
  ['two', two, `@${digest(9)}`, `it has no image ${digest(9)}; it has oci:/x:v1, oci:/x:v2`],
  ['saved', saved, ':foo:v1', '1'],
  ['saved', saved, ':library/foo:v1', '1'],
  ['saved', saved, ':docker.io/library/bar:v1', '2'],
  ['saved, the name without its tag', saved, ':bar', '3'],
  ['saved, the latest', saved, '', '3'],
  [
    'saved, of two',
    saved,
    ':v1',
    '"v1" may be one of several; write oci:/x:docker.io/library/foo:v1, oci:/x:docker.io/library/bar:v1',
  ],
  ['signed', signed, '', '1'],
  ['signed', signed, ':nobody', '1'],
  ['of several CPUs', platforms, ':v1', '2'],
  ['of several CPUs', platforms, '', '2'],
  [
    'names that cannot be written',
    [entry(1, { [REF]: 'a b' }), entry(2)],
    '',
    `it has not just one image; it has oci:/x@${digest(1)}, oci:/x@${digest(2)}`,
  ],
  ['nothing', [], ':v1', 'it has no tag "v1"; it has none'],
])('%s: %j %s is %s', (_, entries, name, found) => expect(choose(entries, name)).toBe(found));
