import { parseDocument } from 'yaml';
import { z } from 'zod';
import { digestOf, type Token } from '../api/token-gate.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { type Fresh, keepFresh } from './fresh-files.ts';
import { readNamedFile } from './secret-file.ts';
import type { Config } from './settings.ts';

/** Of a token that this daemon is the first to give out; those of --basic-auth-token may have been given out long ago. */
const MIN_LENGTH = 16;
const MAKE = '"openssl rand -hex 32" makes one';

type Entry = Omit<Token, 'withdrawn'>;

const entry = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$/, 'must be a name of at most 63 letters, digits and .-_@'),
    token: z
      .string('must be a text: put it in quotes')
      .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')
      .min(MIN_LENGTH, `must have at least ${MIN_LENGTH} characters: ${MAKE}`)
      .max(1_024)
      .optional(),
    sha256: z
      .string('must be a text: put it in quotes')
      .regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hex digits: printf %s TOKEN | sha256sum')
      .optional(),
    access: z.enum(['read-only', 'read-write'], 'must be read-only or read-write'),
    namespace: z.string('must be a text: put it in quotes').min(1).max(253).optional(),
  })
  .refine(
    ({ token, sha256 }) => (token === undefined) !== (sha256 === undefined),
    'needs token or sha256, one of them',
  );

/**
 * The tokens that may call, from everywhere that they can be given; undefined: none is asked for.
 * @throws Fault `refused` where a file cannot be used
 */
export function tokensFor(
  config: Config,
  { log, clock }: { readonly log: Log; readonly clock: Clock },
): Fresh<readonly Token[]> | undefined {
  const { 'basic-auth-token': single, 'basic-auth-token-file': singleFile, 'tokens-file': many } = config;
  if (single === '' && singleFile === '' && many === '') return undefined;
  const load = (): readonly Entry[] => {
    const entries = [
      ...(single === '' ? [] : [basic(single)]),
      ...(singleFile === '' ? [] : [basic(secretIn(singleFile))]),
      ...(many === '' ? [] : parseTokens(readNamedFile(many, { flag: FLAG, forbidden: 0o077 }), many)),
    ];
    refuseTwins(entries, many);
    return entries;
  };
  const paths = [singleFile, many].filter((path) => path !== '');
  const fresh = keepFresh({ what: 'the file with tokens', paths, load, log, clock });
  const inForce = new InForce();
  inForce.set(fresh.current());
  fresh.onChange(() => inForce.set(fresh.current()));
  return { ...fresh, current: () => inForce.tokens };
}

const FLAG = '--tokens-file';

const basic = (secret: string): Entry => ({
  name: 'basic-auth-token',
  digest: digestOf(secret),
  access: 'read-write',
});

function secretIn(path: string): string {
  const flag = '--basic-auth-token-file';
  const secret = readNamedFile(path, { flag, forbidden: 0o077 }).toString().trim();
  if (!/^[\x21-\x7e]+$/.test(secret))
    throw new Fault('refused', `Cannot use ${flag} ${path}: it must hold one token in printable ASCII; ${MAKE}`);
  return secret;
}

/**
 * @param file - for the messages, which never tell what is in it
 * @throws Fault `refused`
 */
export function parseTokens(data: Buffer, file: string): readonly Entry[] {
  const wrong = (why: string): Fault => new Fault('refused', `Cannot use ${FLAG} ${file}: ${why}`);
  const document = parseDocument(data.toString(), { logLevel: 'silent' });
  const [error] = document.errors;
  // Its words quote the file.
  if (error) throw wrong(`it is no YAML (${error.code} in line ${error.linePos?.[0].line ?? '?'})`);
  let content: unknown;
  try {
    content = document.toJS();
  } catch {
    throw wrong('it is no YAML (an alias of nothing)');
  }
  if (!Array.isArray(content)) throw wrong('it must be a YAML list of tokens, [] for none');
  return content.map((one, i): Entry => {
    const parsed = entry.safeParse(one);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw wrong(`[${i}]${(issue?.path ?? []).map((part) => `.${String(part)}`).join('')}: ${issue?.message}`);
    }
    const { name, token, sha256 = '', access, namespace } = parsed.data;
    const digest = token === undefined ? Buffer.from(sha256, 'hex') : digestOf(token);
    return { name, digest, access, ...(namespace !== undefined && { namespace }) };
  });
}

/** Two rights for one token, or one name for two in the log, are a slip. */
function refuseTwins(entries: readonly Entry[], file: string): void {
  const names = new Set<string>();
  const digests = new Map<string, string>();
  for (const { name, digest } of entries) {
    const key = Buffer.from(digest).toString('hex');
    const other = digests.get(key);
    if (other !== undefined)
      throw new Fault('refused', `Cannot use ${FLAG} ${file}: "${other}" and "${name}" are the same token`);
    if (names.has(name)) throw new Fault('refused', `Cannot use ${FLAG} ${file}: the name "${name}" is given twice`);
    names.add(name);
    digests.set(key, name);
  }
}

/** A token that is gone, or has other rights now, ends what it had begun. */
class InForce {
  #all = new Map<string, { readonly token: Token; readonly end: AbortController }>();

  get tokens(): readonly Token[] {
    return [...this.#all.values()].map(({ token }) => token);
  }

  set(entries: readonly Entry[]): void {
    const before = this.#all;
    this.#all = new Map(
      entries.map((one) => {
        const key = JSON.stringify([one.name, Buffer.from(one.digest).toString('hex'), one.access, one.namespace]);
        const end = before.get(key)?.end ?? new AbortController();
        return [key, { token: { ...one, withdrawn: end.signal }, end }];
      }),
    );
    for (const [key, { end }] of before)
      if (!this.#all.has(key))
        end.abort(new Fault('unauthenticated', 'The token was withdrawn, or given other rights'));
  }
}
