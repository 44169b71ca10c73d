import { objectsIn as list, objectOf as record, textOf as text } from '../base/json.ts';
import { Fault } from '../domain/fault.ts';
import type { Run } from '../ports/host.ts';
import type { HostInterface, HostRule } from '../ports/network.ts';
import { printedBy } from './printed.ts';

/** It waits for the kernel's network lock only: milliseconds, some 20 for a removal. */
const TIMEOUT_MS = 60_000;

export interface Link extends HostInterface {
  /** `10.77.0.1/24`, … where addresses were asked for. */
  readonly addresses: readonly string[];
}

export interface Route {
  /** `10.0.0.0/8`, `10.0.0.1` for a single address, or `default`. */
  readonly destination: string;
  /** Empty where it leads nowhere. */
  readonly device: string;
  /** A limit of its own, in bytes; absent: that of its device. */
  readonly mtu?: number;
  /** For messages: `10.0.0.0/8 via 192.0.2.1 dev eth0`. */
  readonly text: string;
}

/** The `ip` of iproute2. */
export interface Ip {
  /** Commands in order, up to the first one that fails. @returns the standard output: JSON where a command shows something */
  batch(commands: readonly string[], signal: AbortSignal): Promise<string>;
  /** Commands that show everything of a kind, by a process that remembers nothing. @returns a line of JSON for each */
  show(commands: readonly string[], signal: AbortSignal): Promise<string>;
  /** Undefined when there is no such device. */
  find(device: string, signal: AbortSignal): Promise<Link | undefined>;
  all(signal: AbortSignal): Promise<readonly Link[]>;
  /** The IPv4 routes of all tables, and the host's own addresses. */
  routes(signal: AbortSignal): Promise<readonly Route[]>;
  /** The routing tables that have an IPv4 route, by number or name. */
  tables(signal: AbortSignal): Promise<readonly string[]>;
  /** The IPv4 routes of one table, by its number; none where there is no such table. */
  routesIn(table: number, signal: AbortSignal): Promise<readonly Route[]>;
  /** The routing rules for IPv4. */
  rules(signal: AbortSignal): Promise<readonly HostRule[]>;
  /** Not there is success. */
  remove(device: string, signal: AbortSignal): Promise<void>;
}

/** @param batches - runs `ip -j -d -batch -`: may be {@link createLiving} */
export function createIp(run: Run, batches: Run = run): Ip {
  const by =
    (runs: Run) =>
    (commands: readonly string[], signal: AbortSignal): Promise<string> =>
      runs(['ip', '-j', '-d', '-batch', '-'], { signal, timeoutMs: TIMEOUT_MS, input: `${commands.join('\n')}\n` });
  const batch = by(batches);

  return {
    batch,
    show: by(run),

    async find(device, signal) {
      try {
        const links = parseLinks(await batch([`address show dev ${device}`], signal));
        return links.find((link) => link.device === device);
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw error;
      }
    },

    async all(signal) {
      return parseLinks(await run(['ip', '-j', '-d', 'link', 'show'], { signal, timeoutMs: TIMEOUT_MS }));
    },

    async routes(signal) {
      const show = ['ip', '-j', '-4', 'route', 'show', 'table', 'all'] as const;
      return parseRoutes(await run(show, { signal, timeoutMs: TIMEOUT_MS }));
    },

    async tables(signal) {
      const show = ['ip', '-j', '-4', 'route', 'show', 'table', 'all'] as const;
      return parseTables(await run(show, { signal, timeoutMs: TIMEOUT_MS }));
    },

    async routesIn(table, signal) {
      const show = ['ip', '-j', '-4', 'route', 'show', 'table', String(table)] as const;
      try {
        return parseRoutes(await run(show, { signal, timeoutMs: TIMEOUT_MS }));
      } catch (error) {
        if (error instanceof Fault && /table does not exist/.test(error.message)) return [];
        throw error;
      }
    },

    async rules(signal) {
      return parseRules(await run(['ip', '-j', '-4', 'rule', 'show'], { signal, timeoutMs: TIMEOUT_MS }));
    },

    async remove(device, signal) {
      try {
        await batch([`link delete dev ${device}`], signal);
      } catch (error) {
        if (!isAbsent(error)) throw error;
      }
    },
  };
}

/** The two ways in which `ip` says so, of iproute2 6.1. */
const isAbsent = (error: unknown): boolean =>
  error instanceof Fault && /Cannot find device|Device "[^"]*" does not exist/.test(error.message);

/** Reads what `ip -j -d link show` or `ip -j -d address show` printed. */
export function parseLinks(json: string): readonly Link[] {
  // Rows of other devices than the one asked for are printed as {}.
  return list(parse(json))
    .filter((row) => typeof row.ifname === 'string')
    .map((row) => ({
      device: text(row.ifname),
      index: typeof row.ifindex === 'number' ? row.ifindex : 0,
      mac: text(row.address),
      alias: text(row.ifalias),
      kind: text(record(row.linkinfo).info_kind),
      master: text(row.master),
      ...(typeof row.mtu === 'number' && { mtu: row.mtu }),
      ...(Array.isArray(row.flags) && { isPlugged: row.flags.includes('LOWER_UP') }),
      addresses: list(row.addr_info)
        .filter((address) => address.family === 'inet')
        .map((address) => `${text(address.local)}/${String(address.prefixlen)}`),
    }));
}

/** Reads what `ip -j route show table all` printed. */
export function parseRoutes(json: string): readonly Route[] {
  return list(parse(json)).map((row) => {
    const [destination, device] = [text(row.dst), text(row.dev)];
    const words = [text(row.type), destination, row.gateway && `via ${text(row.gateway)}`, device && `dev ${device}`];
    const mtu = list(row.metrics).find((metric) => typeof metric.mtu === 'number')?.mtu;
    return { destination, device, ...(typeof mtu === 'number' && { mtu }), text: words.filter(Boolean).join(' ') };
  });
}

/** Reads which tables `ip -j route show table all` printed; the main one is left out there. */
export const parseTables = (json: string): readonly string[] => [
  ...new Set(list(parse(json)).map((row) => String(row.table ?? 'main'))),
];

/** Reads what `ip -j rule show` printed. */
export function parseRules(json: string): readonly HostRule[] {
  return list(parse(json)).map((row) => {
    const [from, to] = [text(row.src), text(row.dst)];
    const words = [
      from && `from ${from}`,
      to && `to ${to}`,
      row.iif && `iif ${text(row.iif)}`,
      row.fwmark && `fwmark ${text(row.fwmark)}`,
      `lookup ${text(row.table)}`,
    ];
    return {
      priority: typeof row.priority === 'number' ? row.priority : 0,
      routes: text(row.table),
      text: words.filter(Boolean).join(' '),
    };
  });
}

const parse = (json: string): unknown => printedBy('ip', json);
