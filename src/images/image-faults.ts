import { errorMessage } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import type { Platform } from './manifest.ts';

const MAX_SHOWN = 10;

export function otherPlatform(name: string, has: readonly Platform[], wanted: Platform): Fault {
  const words = [...new Set(has.map((p) => `${p.os}/${p.architecture}`))].slice(0, MAX_SHOWN).join(', ');
  return invalid(name, `it is for ${words || 'no platform'}, and this host is ${wanted.os}/${wanted.architecture}`);
}

export const invalid = (name: string, why: string, cause?: unknown): Fault =>
  new Fault('invalid', `Cannot use image "${name}": ${why}`, { reason: 'ImageInvalid', cause });

/** The errors of the parsers, which are no Faults, become ImageInvalid. */
export function asInvalid<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof Fault ? error : invalid(name, errorMessage(error), error);
  }
}

export async function asInvalidAsync<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    return asInvalid(name, () => {
      throw error;
    });
  }
}
