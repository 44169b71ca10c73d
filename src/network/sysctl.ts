import type { Run } from '../ports/host.ts';

const TIMEOUT_MS = 5_000;

/**
 * The kernel's settings. Read and written by a tool: a file below /proc/sys
 * cannot be replaced, and /proc/sys/net is the network namespace of whoever looks.
 */
export interface Sysctl {
  /** @param name - a path below /proc/sys: `net/ipv4/ip_forward` */
  read(name: string, signal: AbortSignal): Promise<string>;
  write(name: string, value: string, signal: AbortSignal): Promise<void>;
}

export function createSysctl(run: Run): Sysctl {
  return {
    read: async (name, signal) => (await run(['cat', `/proc/sys/${name}`], { signal, timeoutMs: TIMEOUT_MS })).trim(),
    async write(name, value, signal) {
      await run(['tee', `/proc/sys/${name}`], { signal, timeoutMs: TIMEOUT_MS, input: `${value}\n` });
    },
  };
}
