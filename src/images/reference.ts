import { isAbsolute, normalize } from 'node:path';
import { shorten } from '../domain/labels.ts';
import { DIGEST } from '../unpack/digest.ts';

/** An image in a directory of OCI layout, or in an archive: such a directory, or what `docker save` writes, as one tar file. */
export interface LocalReference {
  readonly from: 'oci' | 'oci-archive' | 'docker-archive';
  /** Absolute, without `.` and `..`; symlinks are not resolved yet. */
  readonly path: string;
  /** As the layout names it, or the end of that; absent: the only one. */
  readonly tag?: string;
  /** Of its manifest or index: the tag is not looked at. */
  readonly digest?: string;
}

/** An image in a registry, with the defaults filled in. */
export interface RegistryReference {
  readonly from: 'registry';
  /** Host, and port where one was given. */
  readonly host: string;
  readonly repository: string;
  /** Not used where there is a digest. */
  readonly tag: string;
  readonly digest?: string;
}

export type Reference = LocalReference | RegistryReference;

// The grammar of https://github.com/distribution/reference, whose names no transport or option can be made of.
const HOST =
  /^(?:(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const MAX_NAME = 255;
// Of https://specs.opencontainers.org/image-spec/annotations/ (ref.name), and whole references, as podman and containerd write them.
const LAYOUT_TAG = /^[A-Za-z0-9_](?:[A-Za-z0-9._@+:/-]*[A-Za-z0-9_])?$/;
const MAX_LAYOUT_TAG = 512;
const MAX_PATH = 4096;

/** `USER:PASSWORD@HOST/…`: what goes into errors and logs must not have it. A digest has no `/`. */
const CREDENTIALS = /^([a-z-]+:\/\/)?.*@(?=[^@]*\/)/s;
/** Of containers-transports(5). A short one may be a repository's name, or a host's: then no path follows. */
const OTHER_TRANSPORT = /^(?:(?:dir|ostree|sif|tarball):(?=[/.])|(?:docker-daemon|containers-storage):)/;
const FORMS = 'write [HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST], oci:/DIR[:TAG] or oci-archive:/FILE[:TAG]';

/** @returns the reference, or what is wrong with it as a sentence */
export function parseReference(text: string): Reference | { readonly wrong: string } {
  const [, scheme, rest = ''] = /^(oci|oci-archive|docker-archive):(.*)$/s.exec(text) ?? [];
  if (scheme === 'oci' || scheme === 'oci-archive' || scheme === 'docker-archive')
    return parseLocal(scheme, rest, text);
  return parseRegistry(text);
}

function parseLocal(from: LocalReference['from'], rest: string, text: string): Reference | { readonly wrong: string } {
  const wrong = (why: string) => ({ wrong: `image "${shorten(text)}" ${why}` });
  const at = rest.lastIndexOf('@');
  const behind = at < 0 ? '' : rest.slice(at + 1);
  const named = DIGEST.test(behind) ? rest.slice(0, at) : rest;
  // No path has one: what is behind the first is the tag, whatever is in it.
  const colon = named.indexOf(':');
  const path = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  const digest = DIGEST.test(behind) ? behind : tag !== undefined && DIGEST.test(tag) ? tag : undefined;
  if (!isAbsolute(path)) return wrong(`must name an absolute path; write ${from}:/PATH[:TAG]`);
  if (/\p{Cc}/u.test(path) || path.length > MAX_PATH)
    return wrong('has a path with control characters, or a very long one');
  if (normalize(path) !== path || (path.endsWith('/') && path !== '/'))
    return wrong('must name its path without ".", "..", double or trailing "/"');
  if (digest !== undefined) return { from, path, digest };
  if (tag === undefined) return { from, path };
  if (!LAYOUT_TAG.test(tag) || tag.length > MAX_LAYOUT_TAG)
    return wrong(
      'has a tag that is none: letters and digits, between them "-", ".", "_", "@", "+", ":" or "/" (a ":" ends the path)',
    );
  return { from, path, tag };
}

function parseRegistry(text: string): Reference | { readonly wrong: string } {
  const hidden = text.replace(CREDENTIALS, '$1***@');
  const wrong = (why: string) => ({ wrong: `image "${shorten(hidden)}" ${why}; ${FORMS}` });
  if (text === '') return wrong('is empty');
  if (hidden !== text) return wrong('has credentials in it, which belong into the file of --registry-auth-file');
  const transport = OTHER_TRANSPORT.exec(text)?.[0];
  if (transport !== undefined)
    return wrong(`is of "${transport}", which is not read here; copy it with "skopeo copy ${transport}… oci:/DIR:TAG"`);
  if (/^[a-z-]+:\/\//.test(text)) return wrong('must be given without a scheme');
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !DIGEST.test(digest))
    return wrong('has a digest that is neither sha256: and 64 lower-case hex digits nor sha512: and 128');
  const named = at < 0 ? text : text.slice(0, at);
  const slash = named.indexOf('/');
  const first = named.slice(0, Math.max(0, slash));
  const hasHost = slash >= 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  if (hasHost && !HOST.test(first)) return wrong('has a registry that is no HOST or HOST:PORT');
  const path = hasHost ? named.slice(slash + 1) : named;
  const colon = path.lastIndexOf(':');
  const tag = colon < 0 ? 'latest' : path.slice(colon + 1);
  const repository = colon < 0 ? path : path.slice(0, colon);
  if (!TAG.test(tag)) return wrong('has a tag that is none');
  if (!repository.split('/').every((part) => COMPONENT.test(part)) || named.length > MAX_NAME)
    return wrong('has a name that is none (lower-case letters and digits, between them ".", "_" or "-", parts by "/")');
  // As Docker does: a bare name is one of the Docker Hub's own images.
  const host = hasHost ? (first === 'index.docker.io' ? 'docker.io' : first) : 'docker.io';
  const whole = host === 'docker.io' && !repository.includes('/') ? `library/${repository}` : repository;
  return { from: 'registry', host, repository: whole, tag, ...(digest !== undefined && { digest }) };
}

/** The reference in full, the same for all ways to write it. */
export function nameOf(reference: Reference): string {
  if (reference.from !== 'registry') {
    const { from, path, tag, digest } = reference;
    return digest !== undefined ? `${from}:${path}@${digest}` : `${from}:${path}${tag === undefined ? '' : `:${tag}`}`;
  }
  const { host, repository, tag, digest } = reference;
  return digest === undefined ? `${host}/${repository}:${tag}` : `${host}/${repository}@${digest}`;
}

/** A reference in full; the text itself where it is none. */
export function inFull(text: string): string {
  const reference = parseReference(text);
  return 'wrong' in reference ? text : nameOf(reference);
}
