import { Fault } from '../domain/fault.ts';
import { shorten } from '../domain/labels.ts';

/** Where a server listens. Port 0: the system chooses one. */
export type Endpoint = Readonly<{ kind: 'tcp'; host: string; port: number } | { kind: 'unix'; path: string }>;

/** unix(7): sun_path holds 108 bytes with the closing zero. */
const MAX_SOCKET_PATH = 107;
const WRITE = 'write HOST:PORT, [IPv6]:PORT or unix:///PATH';

/**
 * Reads `localhost:9090`, `[::1]:0`, `:9090` (every address) or `unix:///run/flintlock/api.sock`.
 *
 * @throws Fault `invalid` that says how to write it
 */
export function parseEndpoint(text: string): Endpoint {
  const wrong = (why: string): never => {
    throw new Fault('invalid', `Cannot listen on "${shorten(text)}": ${why}`);
  };
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\//, '');
    if (!path.startsWith('/') || path.includes('\0')) return wrong('a socket needs an absolute path: unix:///PATH');
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
      return wrong(`the path of a socket has at most ${MAX_SOCKET_PATH} bytes, this one ${Buffer.byteLength(path)}`);
    return { kind: 'unix', path };
  }
  if (text.includes('://')) return wrong(`an endpoint has no such scheme; ${WRITE}`);
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([A-Za-z0-9._-]*)):(\d{1,5})$/.exec(text) ?? [];
  if (digits === undefined) return wrong(WRITE);
  const port = Number(digits);
  if (port > 65_535) return wrong(`a port is at most 65535, this one is ${port}`);
  return { kind: 'tcp', host: bracketed ?? plain ?? '', port };
}

/** The endpoint as `parseEndpoint` reads it. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix://${endpoint.path}`;
  return `${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}
