import type { Check, Result } from '../check.ts';
import { textOf } from '../look.ts';

/** A running daemon tries the ways of guests each minute. */
const STALE_MS = 180_000;

/** What guests of the managed network reach, as the daemon has tried it from where they are. */
export const ways: Check = {
  name: 'ways of guests',
  async examine(host) {
    const name = 'ways of guests';
    const text = await textOf(host, `${host.runDirectory}/network/ways.json`);
    if (text === undefined) {
      const found = 'not tried yet: the daemon does it while microVMs have interfaces on its own network';
      return [{ name, status: 'ok', found, fix: '' }];
    }
    const told = parse(text);
    if (!told) return [{ name, status: 'warn', found: 'what was found of them cannot be read', fix: RESTART }];
    const seconds = Math.max(0, Math.round((host.clock.now() - told.at) / 1_000));
    const when = `tried ${seconds} s ago`;
    if (seconds * 1_000 > STALE_MS)
      return [{ name, status: 'ok', found: `${when}: no daemon has tried them since`, fix: '' }];
    const shut = told.found.flatMap(({ way, is, why, remedy }): Result[] => {
      if (is === 'blocked')
        return [
          { name: `way: ${way}`, status: 'fail', found: `guests are cut off: ${why} (${when})`, fix: `sudo ${remedy}` },
        ];
      return is === 'absent'
        ? [{ name: `way: ${way}`, status: 'warn', found: `${why} (${when})`, fix: 'See to it on the host itself' }]
        : [];
    });
    const open = told.found.filter(({ is }) => is === 'open').map(({ way }) => way);
    return [{ name, status: 'ok', found: `open: ${open.join(', ') || 'none'} (${when})`, fix: '' }, ...shut];
  },
};

const RESTART = 'Look at it: network/ways.json in the run-time directory; the daemon writes it anew each minute';

interface Told {
  readonly at: number;
  readonly found: readonly {
    readonly way: string;
    readonly is: string;
    readonly why: string;
    readonly remedy: string;
  }[];
}

/** The daemon's file; written whole, by another version perhaps. */
function parse(text: string): Told | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('at' in value) || !('found' in value)) return undefined;
    if (typeof value.at !== 'number' || !Array.isArray(value.found)) return undefined;
    const found = value.found.map((one: Readonly<Record<string, unknown>>) => ({
      ...{ way: String(one.way), is: String(one.is), why: String(one.why ?? ''), remedy: String(one.remedy ?? '') },
    }));
    return { at: value.at, found };
  } catch {
    return undefined;
  }
}
