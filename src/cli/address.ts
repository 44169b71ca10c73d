import { statSync } from 'node:fs';
import { EXIT, Problem } from './exit.ts';

/** Where a daemon listens. */
export type Address = Readonly<
  { socket: string } | { host: string; port: number /** By TLS; absent: it was not said. */; secure?: boolean }
>;

export const DEFAULT_SOCKET = '/run/flintlock/api.sock';
export const DEFAULT_PORT = 9090;

/**
 * Parses `HOST:PORT`, `[IPv6]:PORT`, the same after `https://` or `http://`, or `unix:///path`.
 * @throws Problem `usage`
 */
export function parseAddress(text: string): Address {
  const socket = /^unix:(?:\/\/)?(\/[^/].*)$/.exec(text)?.[1];
  if (socket !== undefined) return { socket };
  const [, scheme] = /^(https?):\/\//.exec(text) ?? [];
  const rest = scheme === undefined ? text : text.slice(scheme.length + 3);
  const tcp = /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(rest);
  const host = tcp?.[1] ?? tcp?.[2];
  const port = Number(tcp?.[3] ?? DEFAULT_PORT);
  if (host === undefined || port < 1 || port > 65_535)
    throw new Problem(
      EXIT.usage,
      `"${text}" is no address of a daemon: write HOST:PORT, [IPv6]:PORT, https://HOST:PORT or unix:///path/to/socket`,
    );
  return { host, port, ...(scheme !== undefined && { secure: scheme === 'https' }) };
}

/** The daemon's socket if it is there, else the port that a daemon takes by default. */
export function defaultAddress(socket = DEFAULT_SOCKET): Address {
  return statSync(socket, { throwIfNoEntry: false })?.isSocket()
    ? { socket }
    : { host: 'localhost', port: DEFAULT_PORT };
}

export function addressText(address: Address): string {
  if ('socket' in address) return `unix://${address.socket}`;
  return `${address.secure ? 'https://' : ''}${hostAndPort(address)}`;
}

export const hostAndPort = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;
