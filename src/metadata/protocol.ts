import { asJson, asText, lookUp } from './node.ts';
import type { Seed } from './seed.ts';
import { MAX_TTL, MIN_TTL, type Tokens } from './tokens.ts';

export interface Asked {
  readonly method: string;
  /** As it stands in the request's first line. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface Answer {
  readonly status: 200 | 400 | 401 | 404 | 405 | 501;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

const TOKEN_PATH = '/latest/api/token';
const TOKEN = ['x-metadata-token', 'x-aws-ec2-metadata-token'] as const;
const TTL = ['x-metadata-token-ttl-seconds', 'x-aws-ec2-metadata-token-ttl-seconds'] as const;

/**
 * Answers as Firecracker's metadata service does, in both its versions at
 * once: a plain GET is version 1's; one with a token is version 2's, and is
 * refused where the token is not good. The texts are Firecracker's.
 *
 * One path is not: `/latest/meta-data` without a slash behind it is the
 * document that cloud-init's NoCloud wants; with one it is the list of keys.
 *
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/docs/mmds/mmds-user-guide.md
 */
export function answer(asked: Asked, uid: string, seed: () => Seed, tokens: Tokens): Answer {
  const path = pathOf(asked.url);
  if (path === undefined) return text(400, 'Invalid URI.');
  switch (asked.method) {
    case 'GET':
      return get(asked, path, uid, seed, tokens);
    case 'PUT':
      return put(asked, path, uid, tokens);
    default:
      return { ...text(405, 'Not allowed HTTP method.'), headers: { ...PLAIN, allow: 'GET, PUT' } };
  }
}

function get({ headers }: Asked, path: string, uid: string, seed: () => Seed, tokens: Tokens): Answer {
  const token = header(headers, TOKEN);
  if (token !== undefined && !tokens.isGood(uid, token)) return text(401, 'MMDS token not valid.');
  const wantsJson = /\bapplication\/json\b/i.test(header(headers, ['accept']) ?? '');
  const { tree, files } = seed();
  const document = path === '/latest/meta-data' && !wantsJson ? files.get('meta-data') : undefined;
  if (document) return { status: 200, headers: PLAIN, body: document };
  const node = lookUp(tree, path);
  if (node === undefined) return text(404, `Resource not found: ${path}.`);
  const body = wantsJson ? asJson(node) : asText(node);
  if (body === undefined) return text(501, 'Cannot retrieve value. The value has an unsupported type.');
  return typeof body === 'string'
    ? { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(body) }
    : { status: 200, headers: PLAIN, body };
}

function put({ headers }: Asked, path: string, uid: string, tokens: Tokens): Answer {
  // Who sends it is no program of the guest, but a proxy that can be talked into asking for others.
  if (headers['x-forwarded-for'] !== undefined)
    return text(400, 'Invalid header. Reason: Unsupported header name. Key: X-Forwarded-For');
  if (path !== TOKEN_PATH) return text(404, `Resource not found: ${path}.`);
  const given = header(headers, TTL);
  if (given === undefined)
    return text(
      400,
      "Token time to live value not found. Use `X-metadata-token-ttl-seconds` header to specify the token's lifetime.",
    );
  if (!/^\d{1,10}$/.test(given))
    return text(400, `Invalid header. Reason: Invalid value. Key:X-metadata-token-ttl-seconds; Value:${shown(given)}`);
  const ttl = Number(given);
  if (ttl < MIN_TTL || ttl > MAX_TTL)
    return text(
      400,
      `Invalid time to live value provided for token: ${given}. Please provide a value between ${MIN_TTL} and ${MAX_TTL}.`,
    );
  return {
    status: 200,
    headers: { ...PLAIN, 'x-metadata-token-ttl-seconds': String(ttl) },
    body: Buffer.from(tokens.make(uid, ttl)),
  };
}

/** The path alone, without repeated slashes; undefined where the target is none. */
function pathOf(url: string): string | undefined {
  const target = url.replace(/^http:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  if (!target.startsWith('/')) return undefined;
  let path = target;
  try {
    path = decodeURIComponent(target);
  } catch {
    // A lone percent sign: taken as it is.
  }
  return path.replaceAll(/\/{2,}/g, '/');
}

function header(headers: Asked['headers'], names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) return typeof value === 'string' ? value : value.join(',');
  }
  return undefined;
}

const PLAIN = { 'content-type': 'text/plain' } as const;
const text = (status: Answer['status'], body: string): Answer => ({
  status,
  headers: PLAIN,
  body: Buffer.from(shown(body)),
});
const shown = (body: string): string => (body.length <= 1024 ? body : `${body.slice(0, 1024)}…`);
