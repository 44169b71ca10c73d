import { readFileSync } from 'node:fs';
import { errorMessage } from '../base/error-text.ts';
import { type Address, defaultAddress, parseAddress } from './address.ts';
import { contextOf, readContexts, type SavedContext } from './contexts.ts';
import { EXIT, Problem } from './exit.ts';
import type { Io } from './io.ts';

/** How a daemon is reached, and as whom. */
export interface Reach {
  readonly address: Address;
  /** Neither flag nor variable nor context names it: it is where a daemon of this host is by default. */
  readonly isDefault?: true;
  readonly token?: string;
  /** Where the address is one of TLS. */
  readonly tls?: TlsFiles;
}

/** PEM. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly serverName?: string;
}

/** The global flags. */
export interface ReachFlags extends SavedContext {
  readonly context?: string;
}

/**
 * What is in force: flag > environment > context > default. A context goes
 * with its host: where another is given, nothing of it is used, lest its token
 * be sent to a stranger.
 *
 * @throws Problem
 */
export function reachOf(flags: ReachFlags, env: Io['env']): Reach {
  const variables: ReachFlags = {
    ...text('host', env.FLINTLOCK_HOST),
    ...text('context', env.FLINTLOCK_CONTEXT),
    ...text('token', env.FLINTLOCK_TOKEN),
    ...text('tokenFile', env.FLINTLOCK_TOKEN_FILE),
    ...text('tlsCa', env.FLINTLOCK_TLS_CA),
    ...text('tlsCert', env.FLINTLOCK_TLS_CERT),
    ...text('tlsKey', env.FLINTLOCK_TLS_KEY),
    ...text('tlsServerName', env.FLINTLOCK_TLS_SERVER_NAME),
  };
  if (flags.context !== undefined && flags.host !== undefined)
    throw new Problem(EXIT.usage, '--context and --host exclude each other: a context has a host of its own');
  const saved = savedFor(flags, variables, env);
  const merged: SavedContext = { ...saved, ...filesOf(variables), ...filesOf(flags) };
  // A token that is given stands over a file that is only remembered, and the other way round.
  const source = [flags, variables, saved].find(
    ({ token, tokenFile }) => token !== undefined || tokenFile !== undefined,
  );
  const host = flags.host ?? saved.host ?? variables.host;
  return made(merged, { source, host, isForOthers: source === variables });
}

function savedFor(flags: ReachFlags, variables: ReachFlags, env: Io['env']): SavedContext {
  if (flags.context !== undefined) return contextOf(readContexts(env), flags.context);
  if (flags.host !== undefined) return {};
  if (variables.context !== undefined) return contextOf(readContexts(env), variables.context);
  if (variables.host !== undefined) return {};
  const contexts = readContexts(env);
  return contexts.current === undefined ? {} : contextOf(contexts, contexts.current);
}

interface Sources {
  /** What has the token. */
  readonly source: SavedContext | undefined;
  readonly host: string | undefined;
  /** It comes from the environment, where it stands for whatever is called. */
  readonly isForOthers: boolean;
}

function made(merged: SavedContext, { source, host, isForOthers }: Sources): Reach {
  const named = host === undefined ? defaultAddress() : parseAddress(host);
  const { tlsCa, tlsCert, tlsKey, tlsServerName } = merged;
  const hasTls = [tlsCa, tlsCert, tlsKey, tlsServerName].some((one) => one !== undefined);
  // A socket of this host asks for none, and would refuse one that is of another host.
  const isNeeded = !('socket' in named && isForOthers);
  const known = source && isNeeded ? { token: tokenOf(source) } : {};
  const byDefault = host === undefined ? { isDefault: true as const } : {};
  if ('socket' in named) return { address: named, ...byDefault, ...known };
  if (named.secure === false && hasTls)
    throw new Problem(EXIT.usage, `${host} is plain text, and a TLS flag or variable is given: leave one of them out`);
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new Problem(EXIT.usage, '--tls-cert and --tls-key belong together: the certificate and its private key');
  if (!named.secure && !hasTls) return { address: named, ...byDefault, ...known };
  const tls: TlsFiles = {
    ...(tlsCa !== undefined && { ca: read('--tls-ca', tlsCa) }),
    ...(tlsCert !== undefined && { cert: read('--tls-cert', tlsCert) }),
    ...(tlsKey !== undefined && { key: read('--tls-key', tlsKey) }),
    ...(tlsServerName !== undefined && { serverName: tlsServerName }),
  };
  return { address: { ...named, secure: true }, ...byDefault, tls, ...known };
}

function tokenOf({ token, tokenFile }: SavedContext): string {
  if (token !== undefined && tokenFile !== undefined)
    throw new Problem(EXIT.usage, 'A token and a file with one are given: leave one of them out');
  const secret =
    token ??
    read('--token-file', tokenFile ?? '')
      .toString()
      .trim();
  if (!/^[\x21-\x7e]+$/.test(secret))
    throw new Problem(EXIT.usage, 'The token is none: it must be printable ASCII without spaces, in one line');
  return secret;
}

function read(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = errorMessage(cause);
    throw new Problem(EXIT.usage, `Cannot read the file of ${flag}: ${why}`, { cause });
  }
}

const text = (name: keyof ReachFlags, value: string | undefined): Partial<Record<keyof ReachFlags, string>> =>
  value === undefined || value === '' ? {} : { [name]: value };

function filesOf({ tlsCa, tlsCert, tlsKey, tlsServerName }: SavedContext): SavedContext {
  return {
    ...(tlsCa !== undefined && { tlsCa }),
    ...(tlsCert !== undefined && { tlsCert }),
    ...(tlsKey !== undefined && { tlsKey }),
    ...(tlsServerName !== undefined && { tlsServerName }),
  };
}
