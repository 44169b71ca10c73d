import { isObject } from '../base/json.ts';
import type { Files } from '../ports/host.ts';
import type { RegistryReference } from './reference.ts';

const MAX_BYTES = 1 << 20;

/** Who we are to a registry: `basic` as in a header, absent for a stranger; or it takes another program to say. */
export type Login = { readonly basic?: string } | 'unknown';

/**
 * Finds the credentials for a repository, as skopeo does: of the names that begin its own the longest.
 * @see containers-auth.json(5)
 */
export async function loginFor(
  files: Files,
  authFile: string | undefined,
  { host, repository }: RegistryReference,
): Promise<Login> {
  if (authFile === undefined) return {};
  const data = await files.read(authFile, { maxBytes: MAX_BYTES });
  const json: unknown = data ? parsed(Buffer.from(data).toString('utf8')) : undefined;
  if (!isObject(json)) return 'unknown';
  // They ask programs.
  if ('credsStore' in json || 'credHelpers' in json) return 'unknown';
  const auths = isObject(json.auths) ? json.auths : {};
  for (const key of keysOf(host, repository)) {
    const found = Object.hasOwn(auths, key) ? auths[key] : undefined;
    if (found === undefined) continue;
    if (!isObject(found) || 'identitytoken' in found) return 'unknown';
    return typeof found.auth === 'string' && found.auth !== '' ? { basic: found.auth } : 'unknown';
  }
  // Docker's names are URLs: whether one of them is meant is skopeo's to say.
  return Object.keys(auths).some((key) => key.includes(host)) ? 'unknown' : {};
}

function keysOf(host: string, repository: string): readonly string[] {
  const parts = [host, ...repository.split('/')];
  return parts.map((_, i) => parts.slice(0, parts.length - i).join('/'));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
