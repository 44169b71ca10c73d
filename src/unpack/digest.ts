import { createHash, type Hash } from 'node:crypto';

/**
 * The digests that images may have: what the OCI registers and we can check. In lower case, as it demands.
 * @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms
 */
export const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

type Algorithm = 'sha256' | 'sha512';

const algorithmOf = (digest: string): Algorithm => (digest.startsWith('sha512:') ? 'sha512' : 'sha256');

/** Hashes what is to have a digest, as that digest is made. */
export class Digester {
  readonly #algorithm: Algorithm;
  readonly #hash: Hash;

  /** @param like - a digest of the same kind */
  constructor(like: string) {
    this.#algorithm = algorithmOf(like);
    this.#hash = createHash(this.#algorithm);
  }

  update(chunk: Uint8Array | string): void {
    this.#hash.update(chunk);
  }

  digest(): string {
    return `${this.#algorithm}:${this.#hash.digest('hex')}`;
  }
}

/** @param like - a digest of the kind that is wanted; else the OCI's usual one */
export function digestOf(data: Uint8Array | string, like = 'sha256:'): string {
  const digester = new Digester(like);
  digester.update(data);
  return digester.digest();
}
