import { Semaphore } from '../base/semaphore.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { troublesIn } from '../domain/server-words.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Processes, ProcessIdentity, ProcessInfo, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { DhcpIntent, Network } from '../ports/network.ts';
import { CONFINED, dhcpPaths, dnsmasqArgv, readStartLog, type ServerUser, servesDirectory } from './dnsmasq.ts';
import { failed, guard } from './failure.ts';
import type { Ip } from './ip.ts';
import type { FollowsResolvers } from './resolvers.ts';
import { waitFor } from './wait.ts';

/** It serves within 0.1 s on an idle host. */
const START_MS = 60_000;
/** It ends at once; then it is killed. */
const TERM_MS = 3_000;
/** A guest can make the server complain without end: of a log that takes more on the disk only the end is kept. */
const LOG_BYTES = 1 << 20;
/** More than this at once says the same again and again. */
const HEARD_BYTES = 65_536;

export type Dhcp = Pick<Network, 'startDhcp' | 'stopDhcp' | 'dhcpRuns' | 'serverNews'> & {
  /** The server of a directory, if it runs. */
  find(directory: string): Promise<ProcessInfo | undefined>;
  /** Ends the server of a directory, runs `work` while none is there, and leaves it ended. */
  without<T>(directory: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
};

export interface DhcpHands {
  readonly run: Run;
  readonly ip: Ip;
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
  readonly resolvers: FollowsResolvers;
}

/** The DHCP and DNS server of a managed network: a process that outlives the daemon. */
export function createDhcp({ run, ip, files, processes, clock, log, resolvers }: DhcpHands): Dhcp {
  /** Starts and ends of one directory's server do not overlap. */
  const gates = new Map<string, Semaphore>();
  /** Spares a walk through all processes. */
  const known = new Map<string, ProcessIdentity>();

  /** How much of a log was looked through. */
  const heard = new Map<string, number>();

  const alone = <T>(directory: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
    const gate = gates.get(directory) ?? new Semaphore(1);
    gates.set(directory, gate);
    return gate.run(signal, work);
  };

  const find = async (directory: string): Promise<ProcessInfo | undefined> => {
    const isOurs = servesDirectory(directory);
    const last = known.get(directory);
    const there = last && (await processes.inspect(last));
    if (there && isOurs(there.argv)) return there;
    // A look-up by TCP is answered by a child with the same command line.
    const found = (await processes.find(isOurs)).reduce<ProcessInfo | undefined>(older, undefined);
    if (found) known.set(directory, found);
    else known.delete(directory);
    return found;
  };

  const end = async (directory: string, signal: AbortSignal): Promise<void> => {
    const isOurs = servesDirectory(directory);
    for (const server of await processes.find(isOurs)) {
      await processes.signal(server, isOurs, 'SIGTERM');
      try {
        using time = new TimeLimit(signal, TERM_MS);
        await processes.ended(server, time.signal);
      } catch (error) {
        signal.throwIfAborted();
        log.warn('the DHCP server does not end by SIGTERM and is killed', { directory, pid: server.pid, error });
        await processes.signal(server, isOurs, 'SIGKILL');
        await processes.ended(server, signal);
      }
    }
    known.delete(directory);
  };

  const start = async (dhcp: DhcpIntent, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<void> => {
    const paths = dhcpPaths(dhcp.directory);
    await files.makeDirectory(dhcp.directory, 0o755);
    await files.makeDirectory(paths.hosts, 0o755);
    await files.makeDirectory(paths.names, 0o755);
    await files.makeDirectory(paths.logs, 0o755);
    await resolvers.follow(dhcp.directory);
    heard.set(dhcp.directory, 0);
    if (await files.stat(paths.log)) await files.rename(paths.log, paths.oldLog);
    await files.write(paths.log, '', { mode: 0o644 });
    for (const name of await files.list(dhcp.directory))
      if (/^dnsmasq-\d+\.pid$/.test(name)) await files.remove(`${dhcp.directory}/${name}`);

    const confined = argv.includes('--user=root') ? ([...CONFINED, ...argv] as const) : argv;
    const { identity, exited } = await processes.start(confined, { log: paths.log });
    let ended = false;
    void exited.then(() => {
      ended = true;
    });
    const said = async () => readStartLog(new TextDecoder().decode(await files.read(paths.log, { maxBytes: 65_536 })));
    let state = 'hangs' as 'serves' | 'ended' | 'hangs';
    const judge = async (): Promise<boolean> => {
      if (ended) state = 'ended';
      else if ((await said()).serves) state = 'serves';
      return state !== 'hangs';
    };
    try {
      await waitFor({ files, clock }, paths.logs, judge, { ms: START_MS, signal, also: exited });
    } finally {
      if (state === 'hangs') {
        // Our child since a moment: until it has become the program its command line may be empty.
        await processes.signal(identity, () => true, 'SIGKILL');
        await exited;
      }
    }
    if (state === 'serves') {
      known.set(dhcp.directory, identity);
      return;
    }
    const { words } = await said();
    throw failed(
      `Cannot start the DHCP server on ${dhcp.bridge} (${dhcp.gateway}): ` +
        `${state === 'ended' ? 'dnsmasq ended' : `dnsmasq does not serve after ${START_MS} ms`} and said: ${words}` +
        (/already in use/.test(words) ? '. Another server holds the port there: `ss -lnup` shows which one' : ''),
    );
  };

  /** `nobody` reads reservations only where every directory above lets others pass. */
  const userFor = async (directory: string): Promise<ServerUser> => {
    const parts = directory.split('/').slice(1, -1);
    for (let depth = 1; depth <= parts.length; depth++) {
      const info = await files.stat(`/${parts.slice(0, depth).join('/')}`);
      if (info && (info.mode & 0o001) === 0) return 'root';
    }
    return 'nobody';
  };

  const forever = new AbortController().signal; // the tool's own limit ends it
  let namespace: Promise<string> | undefined;
  /** A server of the same directory may live in another network namespace, where nobody of ours hears it. */
  const isHere = async ({ pid }: ProcessInfo): Promise<boolean> => {
    namespace ??= run(['readlink', '/proc/self/ns/net'], { signal: forever, timeoutMs: 60_000 });
    return (await files.readLink(`/proc/${pid}/ns/net`)) === (await namespace).trim();
  };

  /** By SIGSTOP: it is there and answers nobody. */
  const isStopped = async ({ pid }: ProcessInfo): Promise<boolean> => {
    const stat = new TextDecoder().decode(await files.read(`/proc/${pid}/stat`, { maxBytes: 4_096 }));
    // Its name, which may hold anything, stands before it (proc(5)).
    return stat.slice(stat.lastIndexOf(')')).startsWith(') T');
  };

  const trim = async (file: string): Promise<void> => {
    const size = await files.stat(file);
    if (!size || size.diskBytes <= LOG_BYTES) return;
    try {
      await files.punch(file, size.sizeBytes - LOG_BYTES / 2);
    } catch (error) {
      log.warn("cannot free the beginning of the DHCP server's log", { file, error });
    }
  };

  return {
    find,

    without: (directory, signal, work) =>
      alone(directory, signal, async () => {
        await end(directory, signal);
        return work();
      }),

    startDhcp: (dhcp, signal) =>
      guard(`start the DHCP server on ${dhcp.bridge}`, () =>
        alone(dhcp.directory, signal, async () => {
          const bridge = await ip.find(dhcp.bridge, signal);
          if (!bridge)
            throw failed(`Cannot start the DHCP server: there is no bridge ${dhcp.bridge}. It has to be made first`);
          const user = await userFor(dhcp.directory);
          const argv = dnsmasqArgv(dhcp, bridge.index, user, bridge.mtu);
          const server = await find(dhcp.directory);
          const { hosts, names } = dhcpPaths(dhcp.directory);
          const isThere = (await files.stat(hosts)) && (await files.stat(names));
          const isWhole = server && same(server.argv, argv) && isThere;
          if (isWhole && (await isHere(server)) && !(await isStopped(server))) return;
          if (server) {
            log.info('the DHCP server is of another configuration or place, or stopped, and is started anew', {
              bridge: dhcp.bridge,
            });
            await end(dhcp.directory, signal);
          }
          await start(dhcp, argv, signal);
          log.info('the DHCP server serves', { bridge: dhcp.bridge, cidr: dhcp.cidr, user });
        }),
      ),

    stopDhcp: (dhcp, signal) =>
      guard(`stop the DHCP server on ${dhcp.bridge}`, () =>
        alone(dhcp.directory, signal, async () => {
          await end(dhcp.directory, signal);
          await files.remove(dhcp.directory);
        }),
      ),

    async serverNews({ directory }) {
      const followed = (await files.stat(directory))
        ? await resolvers.follow(directory)
        : { servers: [], isChanged: false };
      // The first time too: a daemon before us may have been ended before it could tell.
      if (followed.isChanged || !heard.has(directory)) {
        const server = await find(directory);
        if (server) await processes.signal(server, servesDirectory(directory), 'SIGHUP');
      }
      const { log: path } = dhcpPaths(directory);
      const sizeBytes = (await files.stat(path))?.sizeBytes ?? 0;
      // What it said to a daemon before us is told.
      const before = heard.get(directory) ?? sizeBytes;
      // One that is shorter is another; of a long one the end will do.
      const offset = Math.max(before <= sizeBytes ? before : 0, sizeBytes - HEARD_BYTES);
      const text = new TextDecoder().decode(await files.read(path, { offset, maxBytes: HEARD_BYTES }));
      // A line that is being written is read when it is whole.
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      heard.set(directory, offset + Buffer.byteLength(whole));
      const { servers, isChanged, ...wrong } = followed;
      return { troubles: troublesIn(whole), resolvers: servers, isChanged, ...wrong };
    },

    async dhcpRuns(dhcp) {
      const server = await find(dhcp.directory);
      if (!server || (await isStopped(server))) return false;
      await trim(dhcpPaths(dhcp.directory).log);
      using time = new TimeLimit(undefined, 10_000);
      const bridge = await ip.find(dhcp.bridge, time.signal);
      const user = await userFor(dhcp.directory);
      return bridge !== undefined && same(server.argv, dnsmasqArgv(dhcp, bridge.index, user, bridge.mtu));
    },
  };
}

const older = (a: ProcessInfo | undefined, b: ProcessInfo): ProcessInfo =>
  a && Number(a.startTime) <= Number(b.startTime) ? a : b;

const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((word, i) => word === b[i]);
