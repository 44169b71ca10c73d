export interface RegistryRequest {
  readonly method: 'HEAD' | 'GET';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Of `https:`: any certificate will do. */
  readonly anyCertificate: boolean;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export interface RegistryAnswer {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * One request of our own to a registry, or to who vouches for its callers.
 * Redirects are not followed. Certificates are judged by what this host trusts.
 *
 * @throws whatever keeps an answer of at most 64 KiB from coming in time
 */
export type AskRegistry = (request: RegistryRequest) => Promise<RegistryAnswer>;
