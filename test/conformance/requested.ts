import { errorMessage } from '../../src/base/error-text.ts';
import type { Images } from './images.ts';
import type { Lab } from './lab.ts';
import { lackIn } from './lack.ts';
import { Report } from './report.ts';
import type { GuestRow, Played, Result, Scene, Seeing, Seen } from './row.ts';

/** A row that asks what only a guest can say. */
class Unasked extends Error {}

/**
 * Makes a scene's microVMs where a stand-in runs them: there is no guest in it. What their VMM was told stands for what a guest
 * would see; what the host sees of them is judged as it is for one. The scene does not go on from there.
 */
export async function playRequested(
  scene: Scene,
  wanted: readonly GuestRow[],
  lab: Lab,
  images: Images,
): Promise<Played> {
  const uids: string[] = [];
  const all = (make: (row: GuestRow) => Result): Played => ({ results: wanted.map(make) });
  const play = async (): Promise<Played> => {
    const guests: Record<string, Seen> = {};
    let told: readonly string[] = [];
    for (const [guest, spec] of Object.entries(scene.guests(images))) {
      const made = await lab.create({ ...spec, id: `${scene.name}-${guest}` });
      const uid = made.spec?.uid ?? '';
      uids.push(uid);
      const said = await lab.told(uid);
      if (told.length === 0) told = said;
      // What its VMM has said of it is in its record a moment later.
      const record = await lab.seenAlive(uid);
      guests[guest] = unasked({ record, host: await lab.facts(record), guests });
    }
    const [main] = Object.values(guests);
    if (!main) throw new Error(`The scene ${scene.name} has no guests`);
    return all((row) => judgeRequest(row, main, told));
  };
  const played = await play().catch((error: unknown): Played => {
    const refusal = lackIn(error);
    if (refusal !== undefined) return all((row) => result(row, { basis: 'refused', ok: true, seen_on_host: refusal }));
    return all((row) => result(row, { ok: false, seen_on_host: errorMessage(error) }));
  });
  await Promise.all(uids.map((uid) => lab.remove(uid)));
  return played;
}

/** Nothing that a guest would say is there to be read. */
function unasked(known: Pick<Seen, 'record' | 'host' | 'guests'>): Seen {
  const never = (): never => {
    throw new Unasked('only a guest can say it');
  };
  const report: Report = new Proxy(new Report([]), { get: never });
  return {
    ...known,
    report,
    get reports(): never {
      return never();
    },
    get console(): never {
      return never();
    },
    notes: new Proxy({}, { get: never }),
  };
}

/** @param told - what the VMM was told, a line each */
export function judgeRequest(row: GuestRow, seen: Seen, told: readonly string[]): Result {
  const evidence = { evidence: told };
  try {
    const expected = typeof row.expected === 'string' ? row.expected : row.expected(seen);
    if (!row.host) throw new Unasked('nothing of the host is asked');
    const seeing: Seeing = row.host(seen);
    const { ok, text } = typeof seeing === 'string' ? { ok: seeing === expected, text: seeing } : seeing;
    return result(row, { ...evidence, ok: ok && told.length > 0, expected, seen_on_host: text });
  } catch (error) {
    if (error instanceof Unasked)
      return result(row, { ...evidence, ok: told.length > 0, seen_on_host: told.join('; ') });
    return result(row, { ...evidence, ok: false, seen_on_host: errorMessage(error) });
  }
}

const result = ({ row, expected }: GuestRow, more: Pick<Result, 'ok' | 'seen_on_host'> & Partial<Result>): Result => ({
  ...{ row, basis: 'request', seen_in_guest: null, evidence: [] },
  expected: typeof expected === 'string' ? expected : '',
  ...more,
});
