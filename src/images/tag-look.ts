import { isObject } from '../base/json.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { AskRegistry, RegistryAnswer, RegistryRequest } from '../ports/registries.ts';
import { DIGEST } from '../unpack/digest.ts';
import { PullFault } from './failures.ts';
import { nameOf, type RegistryReference } from './reference.ts';
import { loginFor } from './registry-logins.ts';
import { hasRulesFor } from './registry-rules.ts';

export interface TagLooksOptions {
  readonly ask: AskRegistry;
  readonly files: Files;
  readonly clock: Clock;
  readonly insecureRegistries: readonly string[];
  readonly authFile?: string;
  /** What skopeo gets of the operator's environment. */
  readonly environment: Readonly<Record<string, string>>;
}

/** With these skopeo goes other ways, or trusts others. */
const ELSEWHERE = ['HTTP_PROXY', 'HTTPS_PROXY', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];
/** A registry that takes longer is left to skopeo, which has more patience and the words for what is wrong. */
const ASK_MS = 5_000;
/** Those that skopeo takes: a registry may answer with another manifest for another list. */
const MANIFESTS = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.index.v1+json',
].join(', ');
/** Of a token of which its maker does not say how long it is good for. @see https://distribution.github.io/distribution/spec/auth/token/ */
const TOKEN_MS = 60_000;
/** It must be good for a moment more than it takes to use it. */
const EARLY_MS = 10_000;
const MAX_KEPT = 1_000;

interface Kept {
  /** A header. */
  readonly authorization: string;
  readonly until: number;
}

/**
 * Asks a registry in one request whether a tag still leads where it led: for
 * its name alone, without a process. It says nothing where it is not sure,
 * and then skopeo asks: where the host has rules for registries, where there
 * are proxies, where credentials come from programs, and of all that a
 * registry answers but the digest.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
 */
export class TagLooks {
  readonly #options: TagLooksOptions;
  readonly #isElsewhere: boolean;
  readonly #kept = new Map<string, Kept>();
  /** Insecure registries that speak no TLS. */
  readonly #plain = new Set<string>();

  constructor(options: TagLooksOptions) {
    this.#options = options;
    this.#isElsewhere = ELSEWHERE.some((name) => (options.environment[name] ?? '') !== '');
  }

  /**
   * @returns the digest that the tag leads to; undefined: it is not known
   * @throws PullFault where the registry says that it answers nobody like us for longer than skopeo would wait
   */
  async digestOf(reference: RegistryReference, signal: AbortSignal): Promise<string | undefined> {
    const answer = await this.#answer(reference, signal);
    const fault = answer && refusedFor(answer, nameOf(reference));
    if (fault && fault.seconds > PATIENT_S) throw fault.error;
    const digest = answer?.headers['docker-content-digest'] ?? '';
    return answer?.status === 200 && DIGEST.test(digest) ? digest : undefined;
  }

  /** Why skopeo had no answer in its time: it waits by itself where a registry asks it to. @returns undefined: it is not known */
  async whyLate(reference: RegistryReference, signal: AbortSignal): Promise<PullFault | undefined> {
    const answer = await this.#answer(reference, signal);
    return answer && refusedFor(answer, nameOf(reference))?.error;
  }

  async #answer(reference: RegistryReference, signal: AbortSignal): Promise<RegistryAnswer | undefined> {
    if (this.#isElsewhere || (await hasRulesFor(this.#options.files, reference.host))) return undefined;
    const login = await loginFor(this.#options.files, this.#options.authFile, reference);
    if (login === 'unknown') return undefined;
    try {
      return await this.#head(reference, login.basic, signal);
    } catch {
      // Why is told by skopeo, in its words; to whom has gone, by the signal.
      signal.throwIfAborted();
      return undefined;
    }
  }

  async #head(reference: RegistryReference, basic: string | undefined, signal: AbortSignal): Promise<RegistryAnswer> {
    const { host, repository, tag } = reference;
    const path = `/v2/${repository}/manifests/${tag}`;
    const key = `${host}/${repository} ${basic ?? ''}`;
    const head = (authorization: string | undefined): Promise<RegistryAnswer> =>
      this.#ask(host, path, { accept: MANIFESTS, ...(authorization !== undefined && { authorization }) }, signal);
    const kept = this.#kept.get(key);
    const first = await head(kept && kept.until > this.#options.clock.elapsed() ? kept.authorization : undefined);
    if (first.status !== 401) return first;
    this.#kept.delete(key);
    const answer = await this.#answerTo(first.headers['www-authenticate'] ?? '', reference, basic, signal);
    if (!answer) return first;
    const second = await head(answer.authorization);
    if (second.status === 200) this.#keep(key, answer);
    return second;
  }

  /** What a registry wants to hear that says who may ask it. */
  async #answerTo(
    challenge: string,
    { host, repository }: RegistryReference,
    basic: string | undefined,
    signal: AbortSignal,
  ): Promise<Kept | undefined> {
    if (/^basic\b/i.test(challenge))
      return basic === undefined ? undefined : { authorization: `Basic ${basic}`, until: Number.POSITIVE_INFINITY };
    const realm = /^bearer\s.*\brealm="([^"]+)"/i.exec(challenge)?.[1];
    const service = /\bservice="([^"]*)"/i.exec(challenge)?.[1];
    const isInsecure = this.#isInsecure(host);
    if (realm === undefined || !URL.canParse(realm)) return undefined;
    const url = new URL(realm);
    // Credentials go where nobody listens, or where the operator has said that it does not matter.
    if (url.protocol !== 'https:' && !(isInsecure && url.protocol === 'http:')) return undefined;
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const headers: Readonly<Record<string, string>> = basic === undefined ? {} : { authorization: `Basic ${basic}` };
    const { status, body } = await this.#send({ method: 'GET', url, headers, anyCertificate: isInsecure, signal });
    const json: unknown = status === 200 ? JSON.parse(body) : undefined;
    if (!isObject(json)) return undefined;
    const token = json.token ?? json.access_token;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) return undefined;
    const goodMs = typeof json.expires_in === 'number' ? json.expires_in * 1_000 : TOKEN_MS;
    return { authorization: `Bearer ${token}`, until: this.#options.clock.elapsed() + goodMs - EARLY_MS };
  }

  async #ask(
    host: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<RegistryAnswer> {
    const isInsecure = this.#isInsecure(host);
    const at = (scheme: 'http' | 'https'): Promise<RegistryAnswer> => {
      const url = new URL(`${scheme}://${apiHost(host)}${path}`);
      return this.#send({ method: 'HEAD', url, headers, anyCertificate: isInsecure, signal });
    };
    if (!isInsecure) return at('https');
    // As skopeo does: TLS first. Which of the two it was is remembered, until it is the other.
    const [first, second] = this.#plain.has(host) ? (['http', 'https'] as const) : (['https', 'http'] as const);
    try {
      return await at(first);
    } catch {
      signal.throwIfAborted();
      const answer = await at(second);
      if (second === 'http') this.#plain.add(host);
      else this.#plain.delete(host);
      return answer;
    }
  }

  #send(request: Omit<RegistryRequest, 'timeoutMs'>): Promise<RegistryAnswer> {
    return this.#options.ask({ ...request, timeoutMs: ASK_MS });
  }

  #isInsecure(host: string): boolean {
    return this.#options.insecureRegistries.includes(host);
  }

  #keep(key: string, kept: Kept): void {
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.set(key, kept);
  }
}

/** What skopeo waits for by itself. */
const PATIENT_S = 10;

/** @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after */
function refusedFor(
  { status, headers }: RegistryAnswer,
  name: string,
): { readonly seconds: number; readonly error: PullFault } | undefined {
  if (status !== 429) return undefined;
  const after = headers['retry-after'] ?? '';
  const seconds = /^\d{1,9}$/.test(after) ? Number(after) : PATIENT_S + 1;
  const again = /^\d{1,9}$/.test(after) ? `, again in ${after} s` : '';
  const text = `Cannot pull image "${name}": the registry asks to pull less often (429 Too Many Requests${again}); credentials of --registry-auth-file may have more, and --pull missing asks seldom`;
  return { seconds, error: new PullFault('tool', text, { unreachable: true }) };
}

/** The Docker Hub's interface is at another name than its images. */
const apiHost = (host: string): string => (host === 'docker.io' ? 'registry-1.docker.io' : host);
