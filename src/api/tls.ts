import { constants } from 'node:crypto';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';

/** What a TLS server needs, as PEM. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Clients need a certificate that one of these signed. */
  readonly clientCa?: Buffer;
}

/** What is in force, and news of it. */
export interface TlsSource {
  current(): TlsFiles;
  /** @returns how to stop listening */
  onChange(listener: () => void): () => void;
}

/**
 * Takes the encryption off. It does not listen: connections are handed to it
 * with `emit('connection', …)`. A client's certificate has been asked for and
 * judged, but it is for the listener to turn it away: Node would cut the
 * connection without a word.
 */
export function createTerminator(source: TlsSource, protocol: 'h2' | 'http/1.1', handshakeMs: number): Server {
  const { requestCert, ...context } = contextOf(source.current());
  const server = createServer({
    ...context,
    requestCert: requestCert ?? false,
    rejectUnauthorized: false,
    ALPNProtocols: [protocol],
    handshakeTimeout: handshakeMs,
  });
  const stop = source.onChange(() => server.setSecureContext(contextOf(source.current())));
  server.on('close', stop);
  return server;
}

export function contextOf({ cert, key, clientCa }: TlsFiles): TlsOptions {
  return {
    cert,
    key,
    minVersion: 'TLSv1.3',
    // A session that is resumed is not judged again: a certificate that has run out since would be good for longer.
    ...(clientCa && { ca: clientCa, requestCert: true, secureOptions: constants.SSL_OP_NO_TICKET }),
  };
}

/** Why a client's certificate is not taken, for its owner and the log; undefined: it is. */
export function certificateFault(socket: TLSSocket): string | undefined {
  if (socket.authorized) return undefined;
  // TLS 1.3 tells a client which authorities are asked for (RFC 8446, section 4.2.4); Go's and others send nothing then.
  if (socket.getPeerX509Certificate() === undefined)
    return 'a client certificate is needed and none was sent: many clients keep back one that is not signed by the CA of --tls-client-ca';
  const code = String(socket.authorizationError);
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return 'the client certificate has expired';
    case 'CERT_NOT_YET_VALID':
      return 'the client certificate is not valid yet';
    default:
      return `the client certificate is not signed by a CA that is trusted here (${code})`;
  }
}

/** `CN=web,O=lab`: Node writes one part a line. */
export const subjectOf = (socket: TLSSocket): string | undefined =>
  socket.getPeerX509Certificate()?.subject.replaceAll('\n', ',').slice(0, 300);
