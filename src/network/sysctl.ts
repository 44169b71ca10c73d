import { Fault } from '../domain/fault.ts';
import type { Run } from '../ports/host.ts';

const TIMEOUT_MS = 60_000;

/**
 * The kernel's settings. Read and written by a tool: a file below /proc/sys
 * cannot be replaced, and /proc/sys/net is the network namespace of whoever looks.
 */
export interface Sysctl {
  /** @param name - a path below /proc/sys: `net/ipv4/ip_forward` */
  read(name: string, signal: AbortSignal): Promise<string>;
  /** Many at once; undefined for one that this kernel does not have. */
  readAll(names: readonly string[], signal: AbortSignal): Promise<readonly (string | undefined)[]>;
  write(name: string, value: string, signal: AbortSignal): Promise<void>;
}

export function createSysctl(run: Run): Sysctl {
  const read = async (name: string, signal: AbortSignal): Promise<string> =>
    (await run(['cat', `/proc/sys/${name}`], { signal, timeoutMs: TIMEOUT_MS })).trim();

  return {
    read,
    async readAll(names, signal) {
      if (names.length === 0) return [];
      try {
        const paths = names.map((name) => `/proc/sys/${name}`);
        const lines = (await run(['cat', ...paths], { signal, timeoutMs: TIMEOUT_MS })).trim().split('\n');
        if (lines.length === names.length) return lines;
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
      }
      const one = async (name: string): Promise<string | undefined> => {
        try {
          return await read(name, signal);
        } catch (error) {
          if (error instanceof Fault && /No such file or directory/.test(error.message)) return undefined;
          throw error;
        }
      };
      return Promise.all(names.map(one));
    },
    async write(name, value, signal) {
      await run(['tee', `/proc/sys/${name}`], { signal, timeoutMs: TIMEOUT_MS, input: `${value}\n` });
    },
  };
}
