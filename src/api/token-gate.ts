import { createHash, timingSafeEqual } from 'node:crypto';
import type { Access, Caller } from '../domain/caller.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import { Attempts } from './attempts.ts';
import { callerOf, type Gate, type Knock } from './gate.ts';
import type { RareLog } from './rare-log.ts';

/** One that is in force. Of the secret itself only the digest is kept. */
export interface Token {
  readonly name: string;
  /** SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
  readonly access: Access;
  readonly namespace?: string;
  readonly withdrawn: AbortSignal;
}

export const digestOf = (secret: string | Uint8Array): Uint8Array => createHash('sha256').update(secret).digest();

/** A longer one is no token of ours, and is not even hashed. */
const MAX_SECRET = 4_096;
const HOW = 'send "authorization: Bearer TOKEN", or Basic with the base64 of the token';

/**
 * Lets in who has a token, and who comes over a unix socket: its file's mode
 * says who may. A token that is sent there all the same is held to.
 *
 * @param tokens - all that are in force now
 */
export function tokenGate(tokens: () => readonly Token[], { clock, rare }: { clock: Clock; rare: RareLog }): Gate {
  const attempts = new Attempts(clock);
  return ({ peer, authorization }: Knock): Caller => {
    if (authorization === undefined) {
      if (peer.kind === 'unix') return callerOf(peer);
      rare.warn(`no token ${peer.address}`, 'a call without a token was refused', { from: peer.address });
      throw new Fault('unauthenticated', `A token is needed: ${HOW}`);
    }
    if (peer.kind === 'tcp') attempts.check(peer.address);
    const secret = secretOf(authorization);
    const token = secret && find(secret, tokens());
    if (token) return { ...callerOf(peer), ...rightsOf(token, peer) };
    if (peer.kind === 'tcp') attempts.failed(peer.address);
    rare.warn(`wrong token ${peer.address}`, 'a call with a wrong token was refused', { from: peer.address });
    throw new Fault('unauthenticated', secret ? 'The token is not known here' : `The token cannot be read: ${HOW}`);
  };
}

function rightsOf({ name, access, namespace, withdrawn }: Token, peer: Knock['peer']): Omit<Caller, 'from'> {
  const also = peer.certificate === undefined ? '' : `, certificate ${peer.certificate}`;
  return { who: `token ${name}${also}`, access, withdrawn, ...(namespace !== undefined && { namespace }) };
}

/** `Basic` holds the token alone, without a user and a colon: so do the clients of flintlock. */
function secretOf(authorization: string): Uint8Array | undefined {
  const [, scheme, text] = /^(basic|bearer) +(\S+) *$/i.exec(authorization.slice(0, 2 * MAX_SECRET)) ?? [];
  if (text === undefined || authorization.length > 2 * MAX_SECRET) return undefined;
  return Buffer.from(text, scheme?.toLowerCase() === 'basic' ? 'base64' : 'utf8');
}

/** Every token is compared, each in constant time: how long it takes tells nothing of any. */
function find(secret: Uint8Array, tokens: readonly Token[]): Token | undefined {
  const digest = digestOf(secret);
  let found: Token | undefined;
  for (const token of tokens) if (timingSafeEqual(digest, token.digest)) found = token;
  return found;
}
