import { readFile, stat } from 'node:fs/promises';
import { type IncomingMessage, request as plain } from 'node:http';
import { request as secure } from 'node:https';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { AskRegistry, RegistryAnswer, RegistryRequest } from '../ports/registries.ts';

const MAX_BODY = 64 << 10;
const MAX_HEADERS = 16 << 10;
/** What Debian's programs trust: Go's, and so skopeo, read it first. */
const TRUSTED = '/etc/ssl/certs/ca-certificates.crt';

/**
 * By Node's own client: no proxy, and nothing of the environment.
 * @param trusted - the authorities whose certificates registries may have (PEM)
 */
export function createAskRegistry(trusted = TRUSTED): AskRegistry {
  let known: { readonly context: SecureContext; readonly mtimeMs: number } | undefined;

  /** Made anew when the host trusts others: it takes 10 ms. */
  const hostTrust = async (): Promise<SecureContext> => {
    const { mtimeMs } = await stat(trusted);
    if (known?.mtimeMs !== mtimeMs) known = { context: createSecureContext({ ca: await readFile(trusted) }), mtimeMs };
    return known.context;
  };

  return async (request) => {
    const isSafe = request.url.protocol === 'https:' && !request.anyCertificate;
    return send(request, isSafe ? await hostTrust() : undefined);
  };
}

/** @param secureContext - absent: any certificate will do, or there is none */
async function send(
  { method, url, headers, signal, timeoutMs }: RegistryRequest,
  secureContext: SecureContext | undefined,
): Promise<RegistryAnswer> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const options = { method, headers, agent: false, signal: limit, maxHeaderSize: MAX_HEADERS } as const;
  // Options of tls.connect(), to which the client hands all that it does not know.
  const tls = secureContext ? { secureContext } : { rejectUnauthorized: false };
  const { promise, resolve, reject } = Promise.withResolvers<RegistryAnswer>();
  const answered = (response: IncomingMessage): void => void read(response).then(resolve, reject);
  const sent =
    url.protocol === 'https:' ? secure(url, { ...options, ...tls }, answered) : plain(url, options, answered);
  sent.on('error', reject);
  sent.end();
  return promise;
}

async function read(response: IncomingMessage): Promise<RegistryAnswer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response) {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_BODY) {
      response.destroy();
      throw new Error(`it answers with more than ${MAX_BODY} bytes`);
    }
  }
  const headers = Object.entries(response.headers).flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value] as const] : [],
  );
  return {
    status: response.statusCode ?? 0,
    headers: Object.fromEntries(headers),
    body: Buffer.concat(parts).toString('utf8'),
  };
}
