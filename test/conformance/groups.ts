import { cloudInit } from './cloud-init.ts';
import { interfaces } from './interfaces.ts';
import { kernel } from './kernel.ts';
import { machine } from './machine.ts';
import { metadata } from './metadata.ts';
import type { Group } from './row.ts';
import { stockGuests } from './stock.ts';
import { volumes } from './volumes.ts';

/** In the order of the table. A scene may prove rows of another group, too. */
export const GROUPS: Readonly<Record<string, Group>> = {
  machine,
  /** Proved by the guests of others. */
  agent: { scenes: [], refused: [] },
  kernel,
  volumes,
  interfaces,
  metadata,
  'cloud-init': cloudInit,
  stock: stockGuests,
};

/** The names of all rows, group by group. */
export function rowNames(groups: Readonly<Record<string, Group>> = GROUPS): readonly string[] {
  const all = Object.values(groups).flatMap(({ scenes, refused }) => [
    ...scenes.flatMap(({ rows }) => rows.map(({ row }) => row)),
    ...refused.map(({ row }) => row),
  ]);
  return Object.keys(groups).flatMap((group) => all.filter((row) => row.startsWith(`${group}/`)));
}
