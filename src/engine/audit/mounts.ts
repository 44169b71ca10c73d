import { Fault } from '../../domain/fault.ts';
import type { Files } from '../../ports/host.ts';
import type { Thing } from './thing.ts';

/**
 * What is mounted below directories of ours, and loop devices over files
 * there. We make neither: each is somebody's doing, and what it shows is his.
 * A directory that is seen by two paths (a bind of /var) is one.
 * @see proc_pid_mountinfo(5)
 */
export async function mountsAndLoops(files: Files, roots: readonly string[]): Promise<Thing[]> {
  const mounts = await mountsOf(files);
  const ours = roots.flatMap((root) => placeOf(mounts, root) ?? []);
  const isBelow = (path: string): boolean => roots.some((root) => path.startsWith(`${root}/`));
  const found = new Map<string, string>();
  for (const { path, on } of mounts) {
    if (!isBelow(path) && !(on && ours.some((our) => isInside(on, our)))) continue;
    // Of the paths of one place ours is the one that is known.
    const place = on ? `${on.device} ${on.path}` : path;
    if (!found.has(place) || isBelow(path)) found.set(place, path);
  }
  // One over another at the same path is on the other's file system.
  const things = [...new Set(found.values())].map(
    (name): Thing => ({ kind: 'mount', name, detail: 'in a directory of ours; we mount nothing' }),
  );
  const loops: Thing[] = [];
  for (const device of (await files.list('/sys/block')).filter((name) => /^loop\d+$/.test(name))) {
    const file = (await textOf(files, `/sys/block/${device}/loop/backing_file`)).trim();
    const place = placeOf(mounts, file);
    if (isBelow(file) || (place && ours.some((our) => isInside(place, our))))
      loops.push({ kind: 'loop-device', name: `/dev/${device}`, detail: `of ${file}; we make no loop devices` });
  }
  return [...things, ...loops];
}

/**
 * For whoever removes a path with everything below: what is mounted there, or above it in a directory of ours, is not
 * ours to remove.
 * @throws Fault `refused`
 */
export async function requireNoMount(files: Files, path: string, roots: readonly string[]): Promise<void> {
  const mounts = await mountsOf(files);
  const inOurs = mounts.filter((mount) => roots.some((root) => mount.path.startsWith(`${root}/`)));
  const place = placeOf(mounts, path);
  const inside =
    inOurs.find(
      (mount) => mount.path === path || mount.path.startsWith(`${path}/`) || path.startsWith(`${mount.path}/`),
    ) ??
    // By another path, too, it keeps the directory from being removed.
    mounts.find(({ on }) => place && on && (isInside(on, place) || isSame(on, place)));
  if (inside !== undefined)
    throw new Fault('refused', `cannot tell whose files are mounted at ${inside.path}: unmount it and try again`);
}

/** Where something is, by whatever path it is seen: in a file system, by the path from its own root. */
interface Place {
  /** `MAJOR:MINOR`. */
  readonly device: string;
  readonly path: string;
}

interface Mount {
  readonly id: string;
  readonly path: string;
  /** What is mounted. */
  readonly shows: Place;
  /** Where it is mounted; absent where that is not to be seen from here. */
  readonly on: Place | undefined;
}

const isSame = (a: Place, b: Place): boolean => a.device === b.device && a.path === b.path;
const isInside = (inner: Place, outer: Place): boolean =>
  inner.device === outer.device && inner.path.startsWith(outer.path === '/' ? '/' : `${outer.path}/`);

/** What a path names, by the mount that is on top there. */
function placeOf(mounts: readonly Mount[], path: string): Place | undefined {
  const covering = mounts.filter(
    (mount) => mount.path === '/' || path === mount.path || path.startsWith(`${mount.path}/`),
  );
  const length = Math.max(...covering.map((mount) => mount.path.length));
  const top = covering.findLast((mount) => mount.path.length === length);
  return top && within(top, path);
}

function within({ path: at, shows }: Pick<Mount, 'path' | 'shows'>, path: string): Place {
  const [above, rest] = [shows.path, at === '/' ? path : path.slice(at.length)].map((one) => (one === '/' ? '' : one));
  return { device: shows.device, path: `${above}${rest}` || '/' };
}

async function mountsOf(files: Files): Promise<Mount[]> {
  const rows = (await textOf(files, '/proc/self/mountinfo')).split('\n').flatMap((line) => {
    const [id = '', parent = '', device = '', root, at] = line.split(' ').map(unescaped);
    return root === undefined || at === undefined ? [] : [{ id, parent, path: at, shows: { device, path: root } }];
  });
  const byId = new Map(rows.map((row) => [row.id, row]));
  return rows.map(({ id, parent, path, shows }) => {
    const under = byId.get(parent);
    // The root of all is its own parent, or one that is not listed.
    return { id, path, shows, on: under && under.id !== id ? within(under, path) : undefined };
  });
}

/** A blank, tab, line end or backslash is three octal digits. */
const unescaped = (word: string): string =>
  word.replaceAll(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));

async function textOf(files: Files, path: string): Promise<string> {
  const bytes = await files.read(path);
  return bytes === undefined ? '' : new TextDecoder().decode(bytes);
}
