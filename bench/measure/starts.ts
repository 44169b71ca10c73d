import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT, type TestHost } from '../../test/support/daemon.ts';
import { Wire } from './wire.ts';

const ANSWER_MS = 120_000;
const RETRY_MS = 2;

export interface Started {
  /** Milliseconds from the start of the process to the first List that is answered. */
  readonly answered: number;
  /** Bytes in RAM some seconds later, if that was asked for. */
  readonly rss: number;
}

/** Until somebody answers a List there. */
export async function firstAnswer(socket: string): Promise<void> {
  const end = performance.now() + ANSWER_MS;
  for (;;) {
    try {
      using wire = await Wire.open(socket);
      await wire.call('ListMicroVMs', new Uint8Array());
      return;
    } catch (error) {
      if (performance.now() > end) throw new Error(`nobody answers at ${socket}`, { cause: error });
    }
    await sleep(RETRY_MS);
  }
}

/**
 * Starts a server in the network namespace of a host, waits for its first
 * answer, and ends it.
 *
 * @param restMs - how long it is left alone before its memory is looked at
 */
export async function startOnce(host: TestHost, argv: readonly string[], socket: string, restMs = 0): Promise<Started> {
  const began = performance.now();
  const child = spawn('nsenter', [...host.inside, ...argv], { stdio: 'ignore' });
  const early = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${argv.join(' ')} ended with ${code}`)));
  early.catch(() => undefined);
  try {
    await Promise.race([firstAnswer(socket), early]);
    const answered = performance.now() - began;
    await sleep(restMs);
    return { answered, rss: rssOf(child.pid ?? -1) };
  } finally {
    await end(child);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  // In order: what it has started ends with it.
  child.kill('SIGTERM');
  await gone;
}

/** Bytes in RAM. */
export const rssOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) * 1_024;

/**
 * The command of the floor's start.
 * @param program - the daemon's, whose form the floor has
 */
export const floorStart = (directory: string, program = join(ROOT, 'bin/flintlockd')): readonly string[] => {
  const service = 'gen/flintlock/microvm/v1/microvms_pb';
  const root = dirname(dirname(program));
  const [packed, checkout] = [join(root, 'dist', `${service}.js`), join(root, 'src', `${service}.ts`)];
  const script = join(import.meta.dirname, '../floor/start.mjs');
  return [process.execPath, script, directory, existsSync(checkout) ? checkout : packed];
};
export const floorSocket = (directory: string): string => join(directory, 'floor.sock');
