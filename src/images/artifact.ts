import { type Descriptor, IMAGE_CONFIG, type ImageManifest } from './manifest.ts';

/** A layer of an image, and how it is packed; that is looked for in its bytes. */
const LAYER =
  /^(application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(foreign\.)?diff\.tar)([.+](gzip|zstd|bzip2|xz))?)?$/;
const ENCRYPTED = /\+encrypted$/;

/** What is stored as images are, and is none, by the media types that tell it. The first that matches. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/vnd\.cncf\.helm\./, 'a Helm chart'],
  [/vnd\.dev\.cosign\.simplesigning|vnd\.cncf\.notary\.signature/, 'a signature'],
  [/vnd\.in-toto\+json|vnd\.dsse\.envelope|docker\.attestation\.manifest/, 'an attestation'],
  [/vnd\.dev\.sigstore\.bundle/, 'a Sigstore bundle (a signature or an attestation)'],
  [/spdx|cyclonedx|syft/, 'a bill of materials (SBOM)'],
  [/wasm/, 'a WebAssembly module'],
  [/vnd\.docker\.plugin\./, 'a Docker plugin'],
  [/vnd\.ollama\.|vnd\.docker\.ai\.|vnd\.cncf\.model\./, 'a model'],
  [/vnd\.cncf\.openpolicyagent\./, 'a policy'],
  [/vnd\.cncf\.flux\./, 'a Flux artifact'],
  [/vnd\.vagrant|vnd\.podman\.disk|disk-image|qcow2/, 'a disk image'],
];

/** What a manifest is of, in words, where it is of no image: an OCI artifact. Undefined for images. */
export function artifactOf({ config, layers, artifactType }: ImageManifest): string | undefined {
  const isImage = IMAGE_CONFIG.test(config.mediaType);
  const hasLayers = layers.some((layer) => LAYER.test(layer.mediaType) || ENCRYPTED.test(layer.mediaType));
  if (isImage && (hasLayers || layers.length === 0)) return undefined;
  const types = [artifactType, config.mediaType, ...layers.map(({ mediaType }) => mediaType)];
  const kind = KINDS.find(([match]) => types.some((type) => match.test(type)))?.[1];
  if (kind !== undefined) return kind;
  // With an image's configuration and a strange layer it is meant as an image.
  if (isImage && artifactType === '') return undefined;
  const type = [artifactType, config.mediaType].find((t) => t !== '' && !/vnd\.oci\.empty|vnd\.unknown/.test(t));
  return `an OCI artifact${type === undefined ? '' : ` (${type.replace(/[^\w.+/-]/g, '?').slice(0, 100)})`}`;
}

/** The files of an artifact that have a name. */
export const titled = ({ layers }: ImageManifest): readonly (Descriptor & { readonly title: string })[] =>
  layers.flatMap((layer) => (layer.title === undefined ? [] : [{ ...layer, title: layer.title }]));

/** Why a layer of an image cannot be used, as a clause; undefined: it can. */
export function wrongLayer({ mediaType, digest }: Descriptor): string | undefined {
  if (ENCRYPTED.test(mediaType))
    return `its layer ${digest} is encrypted, and there are no keys here: push it decrypted (skopeo copy --decryption-key)`;
  if (!LAYER.test(mediaType))
    return `its layer ${digest} is of the kind "${mediaType.replace(/[^\w.+/-]/g, '?').slice(0, 100)}", which is none of an image's`;
  return undefined;
}
