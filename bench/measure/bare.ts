import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Answers, BareTold } from '../floor/bare-server.ts';

export interface Bare extends Disposable {
  readonly port: number;
  readonly pid: number;
}

/** A server that gives these answers, whatever it is asked. */
export async function startBare(answers: Answers): Promise<Bare> {
  const child = fork(join(import.meta.dirname, '../floor/bare-server.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  child.send(answers);
  const [{ port }] = (await once(child, 'message')) as [BareTold];
  return { port, pid: child.pid ?? -1, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}
