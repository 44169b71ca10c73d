import { isObject } from '../../base/json.ts';
import { Fault } from '../../domain/fault.ts';
import { type MicroVMSpec, MicroVMSpecSchema } from '../../gen/types/microvm_pb.ts';
import { messageOf } from './json.ts';

const MAPS: ReadonlySet<string> = new Set(['labels', 'metadata']);

/**
 * Reads a body as a JSON merge patch of a spec: what is there changes, what is
 * null is taken away, and of labels and metadata each entry for itself.
 * @returns the spec, and what of it changes as paths of an update mask
 * @throws Fault `invalid`
 * @see https://www.rfc-editor.org/rfc/rfc7396
 */
export function mergePatchOf(body: unknown): { readonly spec: MicroVMSpec; readonly paths: readonly string[] } {
  const text = withoutNulls(body);
  const spec = messageOf(MicroVMSpecSchema, text.body);
  return { spec, paths: text.paths };
}

function withoutNulls(body: unknown): { readonly body: unknown; readonly paths: readonly string[] } {
  const patch = parse(body);
  if (!patch) return { body, paths: [] }; // refused where it is read as a message
  const paths: string[] = [];
  let hadNulls = false;
  for (const [key, value] of Object.entries(patch)) {
    const name = maskName(key);
    if (!MAPS.has(name) || !isObject(value)) {
      paths.push(name);
      continue;
    }
    paths.push(...Object.keys(value).map((entry) => `${name}.${entry}`));
    const kept = Object.entries(value).filter(([, one]) => one !== null);
    hadNulls ||= kept.length < Object.keys(value).length;
    patch[key] = Object.fromEntries(kept);
  }
  // As it was sent, where it can be: so a field that was given twice is seen.
  return { body: hadNulls ? stringify(patch) : body, paths };
}

function parse(body: unknown): Record<string, unknown> | undefined {
  try {
    const value: unknown = typeof body === 'string' ? JSON.parse(body) : undefined;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function stringify(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new Fault('invalid', 'Cannot read the body as MicroVMSpec: it is nested too deeply', { cause });
  }
}

/** A name in camel case as it is in a mask. */
export const maskName = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** `?updateMask=labels.app,restartPolicy`: the field of each path may be in camel case; a key stays as it is. */
export const pathsOf = (text: string): readonly string[] =>
  text === '' ? [] : text.split(',').map((path) => path.trim().replace(/^[^.]*/, maskName));
