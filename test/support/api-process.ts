import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { FlowLimits } from '../../src/api/flow/limits.ts';
import type { Endpoints, Memory } from '../stand-ins/api-server.ts';

export interface ApiProcess extends Endpoints {
  readonly pid: number;
  memory(): Promise<Memory>;
  /** A line for each that was said. */
  log(): Promise<readonly string[]>;
  /** How it ended; undefined while it runs. */
  ended(): string | undefined;
  end(): Promise<void>;
}

/**
 * The API in a process of its own, over so many microVMs with so much metadata each.
 * @param heapMb - beyond it the process ends
 */
export async function startApiProcess(
  vms: { readonly count: number; readonly bytes: number },
  heapMb: number,
  limits: Partial<FlowLimits> = {},
): Promise<ApiProcess> {
  const program = join(import.meta.dirname, '../stand-ins/api-server.ts');
  const child = fork(program, [String(vms.count), String(vms.bytes), JSON.stringify(limits)], {
    execArgv: [`--max-old-space-size=${heapMb}`, '--expose-gc'],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr?.on('data', (data: Buffer) => {
    said = `${said}${data.toString()}`.slice(-2_000);
  });
  let ended: string | undefined;
  const gone = once(child, 'exit').then(([code, signal]) => {
    ended = `${code ?? signal}: ${said}`;
    throw new Error(`the API ended, ${ended}`);
  });
  gone.catch(() => undefined);
  const answer = async <T>(): Promise<T> => {
    const [message] = (await Promise.race([once(child, 'message'), gone])) as [T];
    return message;
  };
  const ask = <T>(question: 'memory' | 'log'): Promise<T> => {
    const told = answer<T>();
    child.send(question, () => undefined); // of one that has ended `told` tells
    return told;
  };
  return {
    ...(await answer<Endpoints>()),
    pid: child.pid ?? -1,
    memory: () => ask<Memory>('memory'),
    log: () => ask<readonly string[]>('log'),
    ended: () => ended,
    end: async () => {
      child.kill('SIGKILL');
      await gone.catch(() => undefined);
    },
  };
}
