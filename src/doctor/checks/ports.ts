import type { Check, CheckHost, Result } from '../check.ts';
import { ask, textOf, whereIs } from '../look.ts';

/** The ports that a daemon listens on by default. */
const PORTS = [
  { port: 9090, flag: '--grpc-endpoint' },
  { port: 8090, flag: '--http-endpoint' },
];
/** TCP_LISTEN, include/net/tcp_states.h. */
const LISTEN = '0A';

/** Whether another program sits where the daemon wants to listen. */
export const ports: Check = {
  name: 'ports',
  async examine(host) {
    const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => textOf(host, path)));
    const listening = new Set(tables.flatMap((table) => listeningPorts(table ?? '')));
    return Promise.all(
      PORTS.map(async ({ port, flag }): Promise<Result> => {
        const name = `port ${port}`;
        if (!listening.has(port)) return { name, status: 'ok', found: 'is free', fix: '' };
        const who = await byWhom(host, port);
        if (who?.isOurs) return { name, status: 'ok', found: `is flintlockd's own (pid ${who.pid})`, fix: '' };
        const fix = `Where that is no flintlockd: choose another with flintlockd run ${flag} localhost:PORT`;
        return { name, status: 'warn', found: `is taken${who ? ` by ${who.program} (pid ${who.pid})` : ''}`, fix };
      }),
    );
  },
};

/** @see proc(5), /proc/net/tcp: the second column is address:port in hexadecimal, the fourth the state */
function listeningPorts(table: string): number[] {
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === LISTEN)
    .map((columns) => Number.parseInt(columns[1]?.split(':')[1] ?? '', 16));
}

/** Undefined where it cannot be told: others' sockets are shown to root only. */
async function byWhom(
  host: CheckHost,
  port: number,
): Promise<{ readonly program: string; readonly pid: string; readonly isOurs: boolean } | undefined> {
  const ss = await whereIs(host, 'ss');
  if (ss === undefined) return undefined;
  const { text } = await ask(host, [ss, '-Hltnp', `sport = :${port}`]);
  const [, program, pid] = /users:\(\("([^"]+)",pid=(\d+)/.exec(text) ?? [];
  if (program === undefined || pid === undefined) return undefined;
  const words = ((await textOf(host, `/proc/${pid}/cmdline`)) ?? '').split('\0');
  return { program, pid, isOurs: isDaemon(words) };
}

/** As bin/flintlockd becomes it: Node with the daemon's program. @see proc(5), /proc/pid/cmdline */
const isDaemon = (words: readonly string[]): boolean =>
  words.some((word) => /\/(?:dist\/bundle\/flintlockd\.cjs|(?:src|dist)\/daemon\/main\.[jt]s)$/.test(word)) &&
  words.includes('run');
