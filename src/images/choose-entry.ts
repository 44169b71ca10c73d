import { shorten } from '../domain/labels.ts';
import type { Descriptor, Platform } from './manifest.ts';
import { type LocalReference, nameOf, parseReference } from './reference.ts';

const MAX_SHOWN = 10;

/**
 * The image of a layout or archive that a reference means: by its name, by
 * the end of one that is nobody else's, or the only one there is, whatever it
 * is called.
 *
 * @returns the entry; or what is wrong, with references that can be pasted
 */
export function chooseEntry(
  entries: readonly Descriptor[],
  reference: LocalReference,
  wanted: Platform,
): Descriptor | { readonly wrong: string } {
  const { tag, digest } = reference;
  if (digest !== undefined)
    return (
      entries.find((entry) => entry.digest === digest) ?? {
        wrong: `it has no image ${digest}; ${has(entries, reference)}`,
      }
    );
  const images = entries.filter((entry) => !entry.isBeside);
  const exact = tag === undefined ? [] : entries.filter(({ names }) => names.includes(tag));
  const byName = [exact, named(images, tag ?? 'latest')].find((found) => found.length > 0);
  const plain = images.filter((entry) => !entry.isArtifact);
  const meant = byName ?? (plain.length > 0 ? plain : images);
  const [first, ...others] = ofPlatform(meant, wanted);
  if (first && others.every((other) => other.digest === first.digest)) return first;
  if (first && byName)
    return { wrong: `"${shorten(tag ?? 'latest')}" may be one of several; write ${paste(meant, reference)}` };
  const state = tag === undefined ? 'it has not just one image' : `it has no tag "${shorten(tag)}"`;
  return { wrong: `${state}; ${has(entries, reference)}` };
}

/** Those whose name ends so: `v1` and `foo:v1` are `localhost/foo:v1`. */
function named(entries: readonly Descriptor[], end: string): readonly Descriptor[] {
  const isMeant = (name: string): boolean =>
    ['', ':latest'].some((tag) => {
      const whole = `${end}${tag}`;
      return name === whole || name.endsWith(`/${whole}`) || (!/[:/]/.test(whole) && name.endsWith(`:${whole}`));
    });
  return entries.filter(({ names }) => names.some(isMeant));
}

/** Of several, those for this host, where all say for which they are. */
function ofPlatform(entries: readonly Descriptor[], wanted: Platform): readonly Descriptor[] {
  const digests = new Set(entries.map(({ digest }) => digest));
  if (digests.size < 2 || entries.some(({ platform }) => !platform)) return entries;
  const ours = entries.filter(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  );
  return ours.length > 0 ? ours : entries;
}

const has = (entries: readonly Descriptor[], reference: LocalReference): string =>
  entries.length === 0 ? 'it has none' : `it has ${paste(entries, reference)}`;

/** References to entries, as they can be given again. */
function paste(entries: readonly Descriptor[], { from, path }: LocalReference): string {
  const all = [...new Set(entries.map((entry) => referenceTo(entry, entries, from, path)))];
  const more = all.length > MAX_SHOWN ? ` and ${all.length - MAX_SHOWN} more` : '';
  return `${all.slice(0, MAX_SHOWN).join(', ')}${more}`;
}

function referenceTo(
  entry: Descriptor,
  entries: readonly Descriptor[],
  from: LocalReference['from'],
  path: string,
): string {
  const isUnique = (name: string): boolean =>
    entries.every(({ names, digest }) => digest === entry.digest || !names.includes(name));
  const name = entry.names.find((one) => isUnique(one) && !('wrong' in parseReference(`${from}:${path}:${one}`)));
  return nameOf(name === undefined ? { from, path, digest: entry.digest } : { from, path, tag: name });
}
