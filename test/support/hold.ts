import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { poll } from './daemon.ts';

/** A tool of the host that stands still where a test wants it. */
export interface HeldTool {
  /** Resolves once the tool has been called and waits. */
  reached(): Promise<void>;
  /** Lets it and every later call through. */
  release(): void;
}

/**
 * Puts a script before a host's tool: it waits while the hold is on, then
 * becomes the real one. Being asked for its version is no work. The daemon is started with `bin` first in its PATH.
 */
export function holdTool(bin: string, tool: string): HeldTool {
  mkdirSync(bin, { recursive: true });
  const hold = join(bin, `.${tool}.hold`);
  const reached = join(bin, `.${tool}.reached`);
  writeFileSync(hold, '');
  writeFileSync(
    join(bin, tool),
    `#!/bin/sh
case " $* " in *" --version "*) work= ;; *) work=1 ;; esac
if [ -n "$work" ] && [ -e ${hold} ]; then
  : >${reached}
  while [ -e ${hold} ]; do sleep 0.05; done
fi
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin exec ${tool} "$@"
`,
    { mode: 0o755 },
  );
  return {
    reached: () =>
      poll(`${tool} is called`, 30_000, async () => (existsSync(reached) ? { is: undefined } : { not: 'not yet' })),
    release: () => rmSync(hold, { force: true }),
  };
}

/** PATH with those scripts first. */
export const pathWith = (bin: string): Readonly<Record<string, string>> => ({
  PATH: `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
});
