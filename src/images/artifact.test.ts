import { expect, test } from 'vitest';
import { artifactOf, wrongLayer } from './artifact.ts';
import { parseManifest } from './manifest.ts';

const CONFIG = 'application/vnd.oci.image.config.v1+json';
const EMPTY = 'application/vnd.oci.empty.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const blob = (mediaType: string): object => ({ mediaType, digest: `sha256:${'0'.repeat(64)}`, size: 1 });

function manifest(config: string, layers: readonly string[], more: object = {}) {
  const parsed = parseManifest(JSON.stringify({ config: blob(config), layers: layers.map(blob), ...more }));
  if (parsed.is !== 'image') throw new Error('no image');
  return parsed;
}

test.each([
  ['OCI', CONFIG, [LAYER]],
  ['Docker', 'application/vnd.docker.container.image.v1+json', ['application/vnd.docker.image.rootfs.diff.tar.gzip']],
  [
    'of both',
    CONFIG,
    [LAYER, 'application/vnd.docker.image.rootfs.diff.tar.gzip', 'application/vnd.oci.image.layer.v1.tar+zstd'],
  ],
  ['without layers', CONFIG, []],
  ['encrypted', CONFIG, [`${LAYER}+encrypted`]],
])('an image: %s', (_, config, layers) => expect(artifactOf(manifest(config, layers))).toBeUndefined());

test.each([
  ['a Helm chart', 'application/vnd.cncf.helm.config.v1+json', ['application/vnd.cncf.helm.chart.content.v1.tar+gzip']],
  ['a signature', CONFIG, ['application/vnd.dev.cosign.simplesigning.v1+json']],
  ['a signature', 'application/vnd.cncf.notary.signature', ['application/jose+json']],
  ['an attestation', CONFIG, ['application/vnd.in-toto+json']],
  ['an attestation', CONFIG, ['application/vnd.dsse.envelope.v1+json']],
  ['a bill of materials (SBOM)', EMPTY, ['application/spdx+json']],
  ['a bill of materials (SBOM)', EMPTY, ['application/vnd.cyclonedx+json']],
  ['a WebAssembly module', 'application/vnd.wasm.config.v0+json', ['application/wasm']],
  ['an OCI artifact (application/vnd.example.v1)', 'application/vnd.example.v1', ['text/plain']],
  ['an OCI artifact', EMPTY, ['application/octet-stream']],
])('%s, of %s', (what, config, layers) => expect(artifactOf(manifest(config, layers))).toBe(what));

test('an artifact by its type, and one of the time before they were images', () => {
  expect(artifactOf(manifest(EMPTY, ['text/plain'], { artifactType: 'application/vnd.x\n' }))).toBe(
    'an OCI artifact (application/vnd.x?)',
  );
  const old = parseManifest(JSON.stringify({ artifactType: 'application/spdx+json', blobs: [blob('text/plain')] }));
  expect(old.is === 'image' && artifactOf(old)).toBe('a bill of materials (SBOM)');
});

test('what no layer can be says why', () => {
  const layerOf = (mediaType: string) => manifest(CONFIG, [mediaType]).layers.map(wrongLayer)[0];
  expect(layerOf(LAYER)).toBeUndefined();
  expect(layerOf(`${LAYER}+encrypted`)).toMatch(/is encrypted, and there are no keys here/);
  expect(layerOf('application/x-executable')).toMatch(/"application\/x-executable", which is none of an image's/);
});
