import { statSync } from 'node:fs';
import { EXIT, Problem } from './exit.ts';

/** Where a daemon listens. */
export type Address = Readonly<{ socket: string } | { host: string; port: number }>;

export const DEFAULT_SOCKET = '/run/flintlock/api.sock';
export const DEFAULT_PORT = 9090;

/**
 * Parses `HOST:PORT`, `[IPv6]:PORT` or `unix:///path`.
 * @throws Problem `usage`
 */
export function parseAddress(text: string): Address {
  const socket = /^unix:(?:\/\/)?(\/[^/].*)$/.exec(text)?.[1];
  if (socket !== undefined) return { socket };
  const tcp = /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = tcp?.[1] ?? tcp?.[2];
  const port = Number(tcp?.[3] ?? DEFAULT_PORT);
  if (host === undefined || port < 1 || port > 65_535)
    throw new Problem(
      EXIT.usage,
      `"${text}" is no address of a daemon: write HOST:PORT, [IPv6]:PORT or unix:///path/to/socket`,
    );
  return { host, port };
}

/** The daemon's socket if it is there, else the port that a daemon takes by default. */
export function defaultAddress(socket = DEFAULT_SOCKET): Address {
  return statSync(socket, { throwIfNoEntry: false })?.isSocket()
    ? { socket }
    : { host: 'localhost', port: DEFAULT_PORT };
}

export function addressText(address: Address): string {
  if ('socket' in address) return `unix://${address.socket}`;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}
