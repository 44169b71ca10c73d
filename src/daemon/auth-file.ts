import { isObject } from '../base/json.ts';
import { Fault } from '../domain/fault.ts';
import type { Files } from '../ports/host.ts';

/**
 * Whether a file has registry credentials, so far as can be told: read at the start, so that a
 * slip is told now and not at the first pull. skopeo reads it again at each pull.
 *
 * @throws Fault `refused` that says what is wrong; never what is in it
 * @see containers-auth.json(5)
 */
export async function requireAuthFile(files: Files, path: string): Promise<void> {
  const wrong = (why: string): Fault =>
    new Fault(
      'refused',
      `Cannot use --registry-auth-file ${path}: ${why}; "skopeo login --authfile ${path}" makes one`,
    );
  const data = await files.read(path, { maxBytes: 1 << 20 });
  if (!data) throw wrong('there is no such file');
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(data));
  } catch {
    throw wrong('it is no JSON');
  }
  if (!isObject(parsed) || !['auths', 'credHelpers', 'credsStore'].some((key) => key in parsed))
    throw wrong('it has no "auths"');
}
