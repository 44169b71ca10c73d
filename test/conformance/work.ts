import { rowNames } from './groups.ts';
import type { Images } from './images.ts';
import type { Lab } from './lab.ts';
import { playRefused, playScene } from './play.ts';
import { playRequested } from './requested.ts';
import type { Group, Played, Result } from './row.ts';

/** One thing to do, with the daemon that it needs. */
export interface Work {
  readonly name: string;
  /** On a daemon of its own. */
  readonly alone: boolean;
  /** On one that has a parent for MACVTAP interfaces. */
  readonly hasParent: boolean;
  /** Is begun before others. */
  readonly slow: boolean;
  /** Not in a sample. */
  readonly leftToProofs: boolean;
  readonly rows: readonly string[];
  run(lab: Lab, images: Images): Promise<Played>;
}

/** All that proves a row of that name. */
export function worksOf(groups: Readonly<Record<string, Group>>, only: RegExp): readonly Work[] {
  return Object.entries(groups)
    .flatMap(([group, { scenes, refused }]) => {
      const refusals = [true, false].map((hasParent): Work => {
        const wanted = refused.filter(
          ({ row, withoutParent }) => only.test(row) && hasParent === (withoutParent !== true),
        );
        return {
          name: `what is refused of ${group}${hasParent ? '' : ' without a parent'}`,
          alone: !hasParent,
          hasParent,
          slow: false,
          leftToProofs: false,
          rows: wanted.map(({ row }) => row),
          run: async (lab, images) => {
            const results: Result[] = [];
            for (const row of wanted) results.push(await playRefused(row, lab, images));
            return { results };
          },
        };
      });
      return [
        ...scenes.map((scene): Work => {
          const rows = scene.rows.filter(({ row }) => only.test(row));
          return {
            name: scene.name,
            alone: scene.alone === true,
            hasParent: true,
            slow: scene.slow === true || scene.alone === true,
            leftToProofs: scene.leftToProofs === true,
            rows: rows.map(({ row }) => row),
            run: (lab, images) => (lab.isByStandIn ? playRequested : playScene)(scene, rows, lab, images),
          };
        }),
        ...refusals,
      ];
    })
    .filter(({ rows }) => rows.length > 0);
}

export interface Worked {
  readonly work: Work;
  readonly results: readonly Result[];
  readonly seconds: number;
}

/**
 * Does all of them, some at a time. Those that need no daemon of their own
 * share one, which is started when it is first needed.
 *
 * @param open - starts a daemon; the caller ends all that are left
 * @param again - told of a scene that was not in time, which is then tried once more; absent: none is
 */
export async function doAll(
  works: readonly Work[],
  images: Images,
  parallel: number,
  open: (hasParent: boolean) => Promise<Lab>,
  done: (worked: Worked) => void,
  again?: (work: Work, late: string) => void,
): Promise<readonly Result[]> {
  const queue = [...works].sort((a, b) => Number(b.slow) - Number(a.slow));
  const results: Result[] = [];
  let shared: Promise<Lab> | undefined;
  const worker = async (): Promise<void> => {
    for (let work = queue.shift(); work !== undefined; work = queue.shift()) {
      const at = performance.now();
      let lab: Lab;
      if (work.alone) lab = await open(work.hasParent);
      else {
        shared ??= open(true);
        lab = await shared;
      }
      let played = await work.run(lab, images);
      const { late } = played;
      if (late !== undefined && again) {
        again(work, late);
        played = await work.run(lab, images);
      }
      if (work.alone) await lab.close();
      const tried = late !== undefined && again ? { tried_again_after: late } : {};
      const made = played.results.map((result) => ({ ...result, ...tried }));
      results.push(...made);
      done({ work, results: made, seconds: (performance.now() - at) / 1_000 });
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  const order = rowNames();
  return results.sort((a, b) => order.indexOf(a.row) - order.indexOf(b.row));
}
