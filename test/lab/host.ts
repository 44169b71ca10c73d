import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lines, openPorts, type Sink, Tail } from './ports.ts';
import { type Machine, qemuArgv, startQemu } from './qemu.ts';

/** How a nested host ended. */
export type Ended =
  | { readonly kind: 'status'; readonly status: number }
  /** The host has failed, and not the command; `why` in words. */
  | { readonly kind: 'broken'; readonly why: string }
  /** The signal said that it is enough. */
  | { readonly kind: 'aborted' };

export interface Streams {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** What the host's kernel says. */
  readonly console?: Sink | undefined;
}

export interface Limits {
  readonly signal: AbortSignal;
  /** From QEMU's start until the command may run. */
  readonly bootMs: number;
  /** From the status until the power is off. */
  readonly offMs: number;
}

const CONSOLE_BYTES = 64 << 10;
const PANIC = /Kernel panic - not syncing|BUG: |Oops: /;

/** Starts a nested host and waits for its end. Nothing of it runs then, however it ended. */
export async function runHost(machine: Machine, streams: Streams, limits: Limits): Promise<Ended> {
  const status = new Lines();
  const heard = new Tail(CONSOLE_BYTES);
  const { stdout, stderr, console } = streams;
  const ports = await openPorts(machine.directory, {
    ...{ status, stdout, stderr },
    console: {
      write(data: Uint8Array) {
        heard.add(data);
        return console?.write(data) ?? true;
      },
      once: (event, listener) => console?.once(event, listener),
    },
  });
  const qemu = startQemu(qemuArgv(machine));
  const ended = qemu.ended.then((how) => ({ how }));
  const aborted = once(limits.signal, 'abort').then(() => ({ how: 'it was ended' }));
  const over = new AbortController();
  const late = async (ms: number): Promise<{ how: string }> => {
    await sleep(ms, undefined, { signal: over.signal }).catch(() => undefined);
    return { how: `it took more than ${Math.round(ms / 1_000)} seconds` };
  };
  const broken = (how: string): Ended =>
    limits.signal.aborted ? { kind: 'aborted' } : { kind: 'broken', why: `${how}\n${lastWords(heard.text)}` };
  try {
    if (limits.signal.aborted) return { kind: 'aborted' };
    const up = await Promise.race([status.next(), ended, aborted, late(limits.bootMs)]);
    if (up !== 'up') return broken(typeof up === 'string' ? `it said "${up}"` : `${up.how} before it was up`);
    const told = await Promise.race([status.next(), ended, aborted]);
    if (typeof told !== 'string') return broken(`${told.how} under the command`);
    // Only when QEMU has closed its ports all that was said has come.
    await Promise.race([ports.closed, aborted, late(limits.offMs)]);
    return { kind: 'status', status: Number(told.replace('status ', '')) };
  } finally {
    over.abort();
    await qemu.end();
    ports.close();
  }
}

/** The panic, or the last lines. */
function lastWords(console: string): string {
  const lines = console.split(/\r?\n/).filter((line) => line.trim() !== '');
  const panic = lines.findIndex((line) => PANIC.test(line));
  return (panic < 0 ? lines.slice(-10) : lines.slice(panic, panic + 30)).join('\n');
}
