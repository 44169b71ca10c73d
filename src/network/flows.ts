import { Fault } from '../domain/fault.ts';
import { publishedKey } from '../domain/published.ts';
import type { PublishedPort } from '../domain/spec.ts';
import type { Run } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import { plain } from './failure.ts';
import type { Ip } from './ip.ts';

/** It walks through every flow of the host, of which there may be some 262,144 (nf_conntrack_max). */
const TIMEOUT_MS = 60_000;

/** A flow that the kernel knows (conntrack(8)): from whom to whom as it came in, and who answers. */
export interface Flow {
  readonly protocol: string;
  readonly to: string;
  readonly toPort: number;
  /** Not `to`, where the destination was translated. */
  readonly answers: string;
}

/**
 * Flows outlive the rules that they began under: how a packet is translated is
 * decided at the first one of its flow. So whoever changes where a port leads
 * ends the flows that began before; their next packet begins anew.
 */
export interface Flows {
  /** Those to a port of the host that lead to nobody yet, after it was published. */
  endBefore(ports: readonly PublishedPort[], signal: AbortSignal): Promise<void>;
  /** Those that published ports led to a guest, after they were unpublished. */
  endTo(guest: string, signal: AbortSignal): Promise<void>;
}

export function createFlows({ run, ip, log }: { readonly run: Run; readonly ip: Ip; readonly log: Log }): Flows {
  const conntrack = async (argv: readonly string[], signal: AbortSignal): Promise<string> => {
    try {
      return await run(['conntrack', ...argv], { signal, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      // It fails, too, where there was nothing to delete.
      if (error instanceof Fault && / 0 flow entries have been deleted/.test(error.message)) return '';
      throw error;
    }
  };
  /** Where the tool is missing, or the kernel's part of it: ports are published all the same. */
  const tolerant = async (what: object, act: () => Promise<void>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      const why = error.message;
      log.warn('flows that began before a port led elsewhere could not be ended: they go on where they went', {
        ...what,
        why,
      });
    }
  };
  const isOwn = async (signal: AbortSignal): Promise<(address: string) => boolean> => {
    const own = (await ip.routes(signal)).filter(({ text }) => text.startsWith('local ')).map((r) => r.destination);
    return (address) => address.startsWith('127.') || own.includes(address);
  };

  return {
    endBefore: (ports, signal) =>
      tolerant({ ports: ports.map((port) => publishedKey(port)) }, async () => {
        for (const protocol of ['tcp', 'udp'] as const) {
          const published = ports.filter((port) => port.protocol === protocol);
          if (published.length === 0) continue;
          const [only, ...others] = published;
          const narrow = only && others.length === 0 ? ['--orig-port-dst', String(only.hostPort)] : [];
          const flows = parseFlows(await conntrack(['-L', '-f', 'ipv4', '-p', protocol, ...narrow], signal));
          const ours = await isOwn(signal);
          const stale = flows.filter(
            ({ to, toPort, answers }) =>
              answers === to &&
              ours(to) &&
              published.some(({ hostPort, hostIp }) => hostPort === toPort && (hostIp === '' || hostIp === to)),
          );
          for (const key of new Set(stale.map(({ to, toPort }) => `${to} ${toPort}`))) {
            const [to = '', port = ''] = key.split(' ');
            const match = ['--orig-dst', plain('address', to), '--reply-src', to, '--orig-port-dst', port];
            await conntrack(['-D', '-f', 'ipv4', '-p', protocol, ...match], signal);
          }
        }
      }),

    endTo: (guest, signal) =>
      tolerant({ guest }, async () => {
        await conntrack(['-D', '-f', 'ipv4', '--dst-nat', plain('address', guest)], signal);
      }),
  };
}

/**
 * Reads what `conntrack -L` printed: `udp 17 29 src=192.0.2.2 dst=192.0.2.1
 * sport=7 dport=53 [UNREPLIED] src=10.77.0.2 dst=192.0.2.2 sport=53 dport=7 …`.
 */
export function parseFlows(text: string): readonly Flow[] {
  return text.split('\n').flatMap((line) => {
    const [protocol = ''] = line.trim().split(/\s+/, 1);
    const values = (key: string): string[] =>
      [...line.matchAll(new RegExp(`\\b${key}=(\\S+)`, 'g'))].map((m) => m[1] ?? '');
    const [, answers] = values('src');
    const [to] = values('dst');
    const [toPort] = values('dport');
    if (answers === undefined || to === undefined || toPort === undefined) return [];
    return [{ protocol, to, toPort: Number(toPort), answers }];
  });
}
