import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { errorMessage } from '../base/error-text.ts';
import type { MicroVM } from '../gen/types/microvm_pb.ts';
import type { Context } from './context.ts';
import { EXIT, Problem } from './exit.ts';
import { uidOf } from './print/microvm.ts';
import type { ReachFlags } from './reach.ts';

/** Where a guest's SSH server listens. */
export const SSH_PORT = 22;

/** Each option of ssh(1) by its name in ssh_config(5), as it is written there. */
export type SshOptions = readonly (readonly [name: string, value: string])[];

/** What ssh calls a guest: `Host *.flintlock` in a configuration is for all of them. */
export function hostNameOf({ spec }: MicroVM): string {
  return `${spec?.id ?? ''}.${spec?.namespace || 'default'}.flintlock`;
}

/**
 * How ssh gets to a guest: through this program, and with the host's key under the microVM's uid, which is never used again,
 * in a file of ours.
 */
export function sshWay(context: Context, vm: MicroVM, port: number): SshOptions {
  const { io } = context;
  const uid = uidOf(vm);
  const words = [...io.program, ...reachWords(context.reachFlags()), 'forward', '--stdio', uid, String(port)];
  return [
    ['ProxyCommand', words.map((word) => percentSafe(shellQuoted(word))).join(' ')],
    ['HostKeyAlias', uid],
    ['UserKnownHostsFile', `"${percentSafe(knownHosts(io.env))}"`],
    ['StrictHostKeyChecking', 'accept-new'],
  ];
}

/** The global flags once more: another directory means other files. A token is no argument, which everybody sees. */
function reachWords(flags: ReachFlags): string[] {
  const { host, context, tokenFile, tlsCa, tlsCert, tlsKey, tlsServerName } = flags;
  const words = (flag: string, value: string | undefined): string[] => (value === undefined ? [] : [flag, value]);
  const file = (flag: string, path: string | undefined): string[] =>
    path === undefined ? [] : words(flag, resolve(path));
  return [
    ...words('--host', host),
    ...words('--context', context),
    ...file('--token-file', tokenFile),
    ...file('--tls-ca', tlsCa),
    ...file('--tls-cert', tlsCert),
    ...file('--tls-key', tlsKey),
    ...words('--tls-server-name', tlsServerName),
  ];
}

/** @see https://specifications.freedesktop.org/basedir-spec/latest/ */
function knownHosts(env: Context['io']['env']): string {
  const { XDG_STATE_HOME: state, HOME: home } = env;
  const base = state?.startsWith('/') ? state : home ? join(home, '.local', 'state') : undefined;
  if (base === undefined)
    throw new Problem(EXIT.failed, "There is no place for guests' host keys: neither XDG_STATE_HOME nor HOME is set");
  const path = join(base, 'flintlock', 'known_hosts');
  if (/["\n]/.test(path)) throw new Problem(EXIT.failed, `ssh cannot be told of a file with such a name: ${path}`);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new Problem(EXIT.failed, `Cannot make a place for guests' host keys: ${errorMessage(cause)}`, { cause });
  }
  return path;
}

/** For the user's shell, by which ssh runs its ProxyCommand. */
const shellQuoted = (word: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** ssh puts names where a percent sign stands. */
const percentSafe = (text: string): string => text.replaceAll('%', '%%');
