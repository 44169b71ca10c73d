import { digestOf } from '../unpack/digest.ts';
import type { Blob } from '../unpack/job.ts';
import type { Members } from './archive.ts';
import { type Descriptor, parseConfig } from './manifest.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';

/**
 * The images of what `docker save` and `podman save` write: a `manifest.json`
 * that names configuration, layers and tags. It has no digests: a manifest is
 * made of each image, whose layers are those that the configuration names.
 * @throws Error; the message is a clause
 */
export async function dockerImages(
  text: string,
  members: Members,
): Promise<{
  readonly entries: readonly Descriptor[];
  /** Manifests and configurations by digest. */
  readonly texts: ReadonlyMap<string, string>;
  readonly layers: ReadonlyMap<string, Blob>;
}> {
  const entries: Descriptor[] = [];
  const texts = new Map<string, string>();
  const layers = new Map<string, Blob>();
  for (const image of parse(text)) {
    const bytes = await members.read(image.config);
    if (!bytes) throw new Error('its manifest.json names a configuration that is not there');
    const config = new TextDecoder().decode(bytes);
    const { diffIds, platform } = parseConfig(config);
    if (diffIds.length !== image.layers.length)
      throw new Error(`it has ${image.layers.length} layers, and its configuration names ${diffIds.length}`);
    const described = diffIds.map((digest, i) => {
      const found = members.find(image.layers[i] ?? '');
      if (!found) throw new Error('its manifest.json names a layer that is not there');
      // It may be packed: what it unpacks to is checked, not what it is.
      layers.set(digest, found);
      return { mediaType: LAYER, digest, size: found.size };
    });
    const configDigest = digestOf(config);
    const manifest = JSON.stringify({
      ...{ schemaVersion: 2, mediaType: MANIFEST },
      config: { mediaType: CONFIG, digest: configDigest, size: bytes.length },
      layers: described,
    });
    const digest = digestOf(manifest);
    texts.set(configDigest, config);
    texts.set(digest, manifest);
    entries.push({
      ...{ mediaType: MANIFEST, digest, size: manifest.length, names: image.tags, platform },
      ...{ isBeside: false, isArtifact: false, isElsewhere: false },
    });
  }
  return { entries, texts, layers };
}

function parse(
  text: string,
): readonly { readonly config: string; readonly layers: readonly string[]; readonly tags: readonly string[] }[] {
  const bad = (): Error => new Error('its manifest.json cannot be read');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw bad();
  }
  if (!Array.isArray(json)) throw bad();
  return json.map((image: unknown) => {
    if (typeof image !== 'object' || image === null) throw bad();
    const { Config: config, Layers: layers, RepoTags: tags } = image as Readonly<Record<string, unknown>>;
    const isTexts = (value: unknown): value is string[] =>
      Array.isArray(value) && value.every((one) => typeof one === 'string');
    if (typeof config !== 'string' || !isTexts(layers)) throw bad();
    return { config, layers, tags: isTexts(tags) ? tags : [] };
  });
}
