import { Code, ConnectError } from '@connectrpc/connect';
import type { MicroVM } from '../gen/types/microvm_pb.ts';
import { quick } from './client.ts';
import type { Context } from './context.ts';
import { EXIT, Problem } from './exit.ts';

/** How a user named a microVM. */
export interface Target {
  readonly text: string;
  readonly uid: string;
  readonly namespace: string;
  readonly id: string;
}

/** A ULID: 26 characters of Crockford's base 32. */
const UID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/**
 * Parses `[namespace/]id` or a uid.
 * @throws Problem `usage`
 */
export function parseTarget(text: string): Target {
  const parts = text.split('/');
  const [first = '', second] = parts;
  if (parts.length > 2 || first === '' || second === '')
    throw new Problem(EXIT.usage, `"${text}" names no microVM: write ID, NAMESPACE/ID or a uid`);
  if (second !== undefined) return { text, uid: '', namespace: first, id: second };
  return UID.test(first)
    ? { text, uid: first, namespace: '', id: '' }
    : { text, uid: '', namespace: 'default', id: first };
}

/**
 * Fetches the microVM that a user named. What looks like a uid and is none may be an id in the default namespace.
 * @throws ConnectError
 */
export async function find(context: Context, target: Target, showDeleted = false): Promise<MicroVM> {
  const { vms } = await context.clients();
  const get = async (by: { uid?: string; namespace?: string; id?: string }): Promise<MicroVM> => {
    const { microvm } = await vms.getMicroVM({ ...by, showDeleted }, quick(context.io.interrupt));
    if (!microvm) throw new Problem(EXIT.failed, `The daemon answered without a record of "${target.text}"`);
    return microvm;
  };
  if (target.uid === '') return get({ namespace: target.namespace, id: target.id });
  try {
    return await get({ uid: target.uid });
  } catch (error) {
    if (!(error instanceof ConnectError && error.code === Code.NotFound)) throw error;
    return await get({ namespace: 'default', id: target.uid }).catch(() => {
      throw error;
    });
  }
}
