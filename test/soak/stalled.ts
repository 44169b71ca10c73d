import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';

/** Whose answers are long, or go on. */
const METHODS = [
  '/flintlock.microvm.v1.MicroVMService/ListMicroVMs',
  '/flintlock.microvm.v1.MicroVMService/ListMicroVMsStream',
  '/flintlock.microvm.v1.MicroVMService/WatchMicroVMs',
  '/flintlock.microvm.v1.ImageService/ListImages',
  '/microvm.services.api.v1alpha1.MicroVM/ListMicroVMs',
  '/microvm.services.api.v1alpha1.MicroVM/ListMicroVMsStream',
];
/** Who is let go, or whose daemon has ended, comes back. */
const AGAIN_MS = 500;
const EMPTY = Buffer.alloc(5); // a message without a field, in its envelope

/**
 * Callers that ask for everything and read nothing: half of them give no
 * window at all, the others read no further than their library does by itself.
 *
 * @param path - of the daemon's unix socket
 * @returns how often they were let go, and how to end them
 */
export function stalledReaders(path: string, connections: number): { readonly letGo: () => number; end(): void } {
  const open = new Set<ClientHttp2Session>();
  let letGo = 0;
  let ended = false;
  const keep = (initialWindowSize: number): void => {
    if (ended) return;
    const session = connect('http://localhost', {
      createConnection: () => connectSocket(path),
      settings: { initialWindowSize },
    });
    open.add(session);
    session.on('error', () => session.destroy());
    session.on('close', () => {
      open.delete(session);
      setTimeout(() => keep(initialWindowSize), AGAIN_MS);
    });
    const ask = (method: string): void => {
      if (session.destroyed || ended) return;
      const headers = { ':method': 'POST', ':path': method, 'content-type': 'application/grpc', te: 'trailers' };
      const stream = session.request(headers);
      stream.pause();
      stream.on('error', () => undefined);
      stream.on('close', () => {
        letGo++;
        setTimeout(() => ask(method), AGAIN_MS);
      });
      stream.end(EMPTY);
    };
    for (const method of METHODS) ask(method);
  };
  for (let i = 0; i < connections; i++) keep(i % 2 === 0 ? 0 : 65_535);
  return {
    letGo: () => letGo,
    end: () => {
      ended = true;
      for (const session of open) session.destroy();
    },
  };
}
