import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorMessage } from '../base/error-text.ts';
import { isObject } from '../base/json.ts';
import { EXIT, Problem } from './exit.ts';
import type { Io } from './io.ts';

/** How one daemon is reached, under a name. Files are absolute paths. */
export interface SavedContext {
  readonly host?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
}

export interface Contexts {
  /** The one that is used where nothing else says which. */
  readonly current?: string;
  readonly contexts: Readonly<Record<string, SavedContext>>;
}

const NONE: Contexts = { contexts: {} };
const KEYS = ['host', 'token', 'tokenFile', 'tlsCa', 'tlsCert', 'tlsKey', 'tlsServerName'];

/** @see https://specifications.freedesktop.org/basedir-spec/latest/ */
export function contextsPath(env: Io['env']): string | undefined {
  const { XDG_CONFIG_HOME: config, HOME: home } = env;
  const base = config?.startsWith('/') ? config : home === undefined || home === '' ? undefined : join(home, '.config');
  return base && join(base, 'flintlock', 'contexts.json');
}

/** @throws Problem `failed` when the file is there and is none of ours, or open to others */
export function readContexts(env: Io['env']): Contexts {
  const path = contextsPath(env);
  const info = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
  if (path === undefined || !info) return NONE;
  const wrong = (why: string, hint: string): Problem =>
    new Problem(EXIT.failed, `Cannot use the contexts in ${path}: ${why}`, { hints: [hint] });
  // It may hold tokens; and who can write it sends them where he likes.
  if ((info.mode & 0o077) !== 0) throw wrong('others can read or change it', `Close it: chmod 0600 ${path}`);
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (isContexts(parsed)) return parsed;
  } catch {
    // told below
  }
  throw wrong('it is not what "flintlock context add" writes', `Mend it, or begin anew: rm ${path}`);
}

/** Whole or not at all, and for its owner alone. */
export function writeContexts(env: Io['env'], contexts: Contexts): void {
  const path = contextsPath(env);
  if (path === undefined)
    throw new Problem(EXIT.failed, 'There is no place for contexts: neither XDG_CONFIG_HOME nor HOME is set');
  const fresh = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(fresh, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    chmodSync(fresh, 0o600);
    renameSync(fresh, path);
  } catch (cause) {
    rmSync(fresh, { force: true });
    const why = errorMessage(cause);
    throw new Problem(EXIT.failed, `Cannot write the contexts to ${path}: ${why}`, { cause });
  }
}

/** @throws Problem `usage` */
export function contextOf({ contexts }: Contexts, name: string): SavedContext {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (found) return found;
  const hint = Object.keys(contexts).length > 0 ? `There are: ${Object.keys(contexts).join(', ')}` : ADD;
  throw new Problem(EXIT.usage, `There is no context "${name}"`, { hints: [hint] });
}

const ADD = 'Add it with: flintlock context add NAME --host HOST:PORT …';

function isContexts(value: unknown): value is Contexts {
  if (!isObject(value) || !isObject(value.contexts)) return false;
  if (value.current !== undefined && typeof value.current !== 'string') return false;
  return Object.values(value.contexts).every(
    (one) =>
      isObject(one) && Object.entries(one).every(([key, text]) => KEYS.includes(key) && typeof text === 'string'),
  );
}
