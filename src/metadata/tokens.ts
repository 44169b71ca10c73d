import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../ports/clock.ts';

/** Seconds (Firecracker's token.rs). */
export const MIN_TTL = 1;
export const MAX_TTL = 21_600;

/** The tokens of MMDS version 2. Nothing is kept of them: each says until when it is good, under our seal. */
export interface Tokens {
  make(uid: string, ttlSeconds: number): string;
  isGood(uid: string, token: string): boolean;
}

/** Longer than any of ours. */
const MAX_TOKEN = 256;

/** @param key - a secret of the host's, at least 32 bytes: the same key takes the tokens of the daemon before */
export function createTokens(key: Uint8Array, clock: Pick<Clock, 'now'>): Tokens {
  const seal = (uid: string, text: string): Buffer => createHmac('sha256', key).update(`${uid}\n${text}`).digest();
  return {
    make(uid, ttlSeconds) {
      const text = `${clock.now() + ttlSeconds * 1000}.${randomBytes(12).toString('base64url')}`;
      return `${text}.${seal(uid, text).toString('base64url')}`;
    },
    isGood(uid, token) {
      if (token.length > MAX_TOKEN) return false;
      const [until = '', salt = '', given = '', ...rest] = token.split('.');
      const right = seal(uid, `${until}.${salt}`);
      const sent = Buffer.from(given, 'base64url');
      if (rest.length > 0 || sent.length !== right.length || !timingSafeEqual(sent, right)) return false;
      return clock.now() < Number(until);
    },
  };
}
