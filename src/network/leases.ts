import { dirname } from 'node:path';
import { allDone } from '../base/all-done.ts';
import { Fault } from '../domain/fault.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Processes, Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { LeaseIntent, Network } from '../ports/network.ts';
import type { Dhcp } from './dhcp.ts';
import { dhcpPaths, type LeaseLine, leaseFiles, parseLeases, servesDirectory } from './dnsmasq.ts';
import { guard, plain } from './failure.ts';
import { waitFor } from './wait.ts';

/** The server writes its file within milliseconds of a release. */
const RELEASE_MS = 1_000;
const TIMEOUT_MS = 60_000;

type Leases = Pick<Network, 'addLease' | 'removeLease' | 'taken' | 'onTaken'>;

export interface LeaseHands {
  readonly run: Run;
  readonly files: Files;
  readonly processes: Processes;
  readonly clock: Clock;
  readonly log: Log;
  readonly dhcp: Dhcp;
}

/** Who gets which address, and who has taken it. */
export function createLeases({ run, files, processes, clock, log, dhcp }: LeaseHands): Leases {
  const readText = async (path: string): Promise<string | undefined> => {
    const bytes = await files.read(path);
    return bytes && new TextDecoder().decode(bytes);
  };
  const leasesIn = async (directory: string): Promise<readonly LeaseLine[]> =>
    parseLeases((await readText(dhcpPaths(directory).leases)) ?? '');

  /** Has the server read all reservations again: it sees new files by itself, but not what is gone or changed. */
  const reload = async (directory: string): Promise<void> => {
    const server = await dhcp.find(directory);
    if (server) await processes.signal(server, servesDirectory(directory), 'SIGHUP');
  };

  const stale = async (lease: LeaseIntent): Promise<readonly LeaseLine[]> =>
    (await leasesIn(lease.directory)).filter(({ mac, address }) => address === lease.address || mac === lease.mac);

  /** Tells the server that the guest gives its lease back. @returns whether the lease is gone from the server's file */
  const release = async (lease: LeaseIntent, signal: AbortSignal): Promise<boolean> => {
    try {
      for (const { address, mac, clientId } of await stale(lease))
        await run(['dhcp_release', lease.bridge, address, mac, clientId], { signal, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      log.warn('cannot release a DHCP lease by dhcp_release', { ...lease, error });
      return false;
    }
    const isGone = async (): Promise<boolean> => (await stale(lease)).length === 0;
    return waitFor({ files, clock }, lease.directory, isGone, { ms: RELEASE_MS, signal });
  };

  return {
    addLease: (lease, signal) =>
      guard(`reserve ${lease.address} for ${lease.mac}`, async () => {
        signal.throwIfAborted();
        let isChanged = false;
        for (const [path, content] of checked(lease)) {
          const [before] = await allDone([readText(path), files.makeDirectory(dirname(path), 0o755)]);
          if (before === content) continue;
          await files.write(path, content, { mode: 0o644 });
          isChanged ||= before !== undefined;
        }
        if (isChanged) await reload(lease.directory);
      }),

    removeLease: (lease, signal) =>
      guard(`free ${lease.address} of ${lease.mac}`, async () => {
        for (const [path] of checked(lease)) await files.remove(path);
        await reload(lease.directory);
        if ((await stale(lease)).length === 0) return;
        if ((await dhcp.find(lease.directory)) && (await release(lease, signal))) return;
        // No server, or one that does not hear: without it the file can be changed. It is started again as after its death.
        await dhcp.without(lease.directory, signal, async () => {
          const { leases } = dhcpPaths(lease.directory);
          const gone = await stale(lease);
          const text = (await readText(leases)) ?? '';
          const kept = text
            .split('\n')
            .filter((line) => !parseLeases(line).some((l) => gone.some((g) => sameLease(l, g))));
          await files.write(leases, kept.join('\n'), { mode: 0o644 });
        });
      }),

    taken: async ({ directory }) =>
      (await leasesIn(directory)).map(({ mac, address, expiresAt }) => ({ mac, address, expiresAt })),

    onTaken: ({ directory }, changed) => files.watch(directory, changed),
  };
}

/** What goes into a file that the server reads, and into a file's name. */
function checked(lease: LeaseIntent): ReturnType<typeof leaseFiles> {
  if (!/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(lease.mac))
    throw new Fault('invalid', `MAC ${JSON.stringify(lease.mac)} must be six bytes in lower-case hex with colons`);
  if (!/^\d+\.\d+\.\d+\.\d+$/.test(lease.address))
    throw new Fault('invalid', `Address ${JSON.stringify(lease.address)} must be a plain IPv4 address`);
  plain('bridge', lease.bridge);
  // The server passes over names with a dot in front or a tilde at the end.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/.test(lease.file))
    throw new Fault('invalid', `File name ${JSON.stringify(lease.file)} must have letters, digits, ".", "_", "-" only`);
  return leaseFiles(lease);
}

const sameLease = (a: LeaseLine, b: LeaseLine): boolean => a.mac === b.mac && a.address === b.address;
