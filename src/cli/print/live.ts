import type { Context } from '../context.ts';
import { printable } from './style.ts';

/** Without a terminal the same news is said again after this long. */
const REPEAT_MS = 10_000;

/** Shows what goes on while a user waits, on standard error: one live line on a terminal, else a line for each change. */
export interface Live {
  /** @param key - what must differ to count as news where there is no terminal */
  show(key: string, text: string): Promise<void>;
  /** Takes the live line away. */
  end(): Promise<void>;
}

export function liveOn({ io }: Context): Live {
  const { stderr } = io;
  let shown = false;
  let last = { key: '', at: 0 };
  return {
    async show(key, text) {
      const line = printable(text);
      if (stderr.isTerminal) {
        shown = true;
        await stderr.write(`\r\x1b[2K${line.slice(0, Math.max(1, stderr.columns() - 1))}`);
        return;
      }
      if (key === last.key && io.now() - last.at < REPEAT_MS) return;
      last = { key, at: io.now() };
      await stderr.write(`${line}\n`);
    },
    async end() {
      if (shown) await stderr.write('\r\x1b[2K');
      shown = false;
    },
  };
}
