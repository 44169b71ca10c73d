import { EXIT, Problem } from './exit.ts';

/** A server in the guest: a TCP port, or the path of a unix socket. */
export type FarPort = Readonly<{ port: number; path: '' } | { port: 0; path: string }>;

/** What is listened on here, and where it leads. */
export interface PortMap {
  readonly address: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly far: FarPort;
}

/** Who is not to be asked by everybody on the network listens here. */
const HERE = '127.0.0.1';
const FORM = /^(?:(\[[0-9A-Fa-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3}|localhost):)?(?:(\d{1,5}):)?(\d{1,5}|\/.+)$/s;

/**
 * Parses `[ADDRESS:][LOCAL:]REMOTE`, REMOTE being a port or the path of a unix socket, which needs LOCAL.
 * @throws Problem `usage`
 */
export function parsePortMap(text: string): PortMap {
  const [, address, local, remote = ''] = FORM.exec(text) ?? [];
  const far = farOf(remote);
  const port = Number(local ?? (far?.path === '' ? far.port : Number.NaN));
  if (!far || !(port <= 65_535))
    throw new Problem(EXIT.usage, `"${text}" says no ports: write [ADDRESS:]LOCAL:REMOTE, or PORT`, {
      hints: ['REMOTE is a port in the guest, or the path of a unix socket there; LOCAL 0 takes a port that is free.'],
    });
  return { address: address?.replace(/^\[|\]$/g, '') ?? HERE, port, far };
}

/**
 * Parses a port in the guest, or the path of a unix socket there.
 * @throws Problem `usage`
 */
export function parseFarPort(text: string): FarPort {
  const far = /^(\d{1,5}|\/.+)$/s.test(text) ? farOf(text) : undefined;
  if (!far) throw new Problem(EXIT.usage, `"${text}" is no port: write 1 to 65535, or the path of a unix socket`);
  return far;
}

function farOf(text: string): FarPort | undefined {
  if (text.startsWith('/')) return { port: 0, path: text };
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? { port, path: '' } : undefined;
}

export const farText = ({ port, path }: FarPort): string => (path === '' ? String(port) : path);
