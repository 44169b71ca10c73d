import { realpath } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { EXIT, Problem } from '../exit.ts';
import { type GuestOptions, GuestTree } from './guest-tree.ts';
import { type HostOptions, HostTree } from './host-tree.ts';
import type { Entry, Names, Tree } from './tree.ts';

/** What a user names: a path here, a path in a guest, or a standard stream. */
export type Place =
  | { readonly is: 'here'; readonly path: string }
  | { readonly is: 'guest'; readonly vm: string; readonly path: string }
  | { readonly is: 'stream' };

/** As `docker cp`: VM:PATH, and what begins with `/` or `.` is here. A path of a guest that is not absolute begins at its root. */
export function parsePlace(text: string): Place {
  if (text === '-') return { is: 'stream' };
  const at = text.indexOf(':');
  if (text === '') throw new Problem(EXIT.usage, 'An empty path names nothing');
  if (text.includes('\0')) throw new Problem(EXIT.usage, 'A path cannot hold a NUL');
  if (at <= 0 || /^[./]/.test(text)) return { is: 'here', path: text };
  const path = text.slice(at + 1);
  return { is: 'guest', vm: text.slice(0, at), path: path.startsWith('/') ? path : `/${path}` };
}

/** Opens trees on either side. */
export class Places {
  readonly #host: HostOptions;
  readonly #guest: (vm: string) => Promise<GuestOptions>;
  readonly #open: HostTree[] = [];

  constructor(host: HostOptions, guest: (vm: string) => Promise<GuestOptions>) {
    this.#host = host;
    this.#guest = guest;
  }

  async tree(place: Exclude<Place, { is: 'stream' }>, path = place.path): Promise<Tree> {
    if (place.is === 'guest') return new GuestTree(Buffer.from(path), await this.#guest(place.vm));
    const tree = new HostTree(path, this.#host);
    this.#open.push(tree);
    return tree;
  }

  async close(): Promise<void> {
    for (const tree of this.#open.splice(0)) await tree.close();
  }
}

export interface Source {
  readonly tree: Tree;
  readonly entry: Entry;
  /** What a copy of it is called in a directory; empty: what is in it is copied, and not itself. */
  readonly name: string;
}

/**
 * What is to be copied. A link that is named is gone through.
 * @throws Problem `notFound` where there is none
 */
export async function sourceAt(places: Places, place: Exclude<Place, { is: 'stream' }>): Promise<Source> {
  const tree = await places.tree(place);
  const entry = await tree.look([], true);
  if (!entry) throw new Problem(EXIT.notFound, `${tree.shown([])} is not there, or is a link that leads nowhere`);
  const name = basename(place.path);
  if (entry.type !== 'directory' && /\/\.?$/.test(place.path))
    throw new Problem(EXIT.failed, `${tree.shown([])} is no directory`);
  return { tree, entry, name: name === '.' || name === '..' || /\/\.$/.test(place.path) ? '' : name };
}

export interface Target {
  readonly tree: Tree;
  readonly into: Names;
}

/**
 * Where a copy goes to: into a directory that is there, over a file, or under a new name in a directory that is there.
 * @param several - it must be a directory
 * @throws Problem
 */
export async function targetFor(
  places: Places,
  place: Exclude<Place, { is: 'stream' }>,
  source: { readonly entry: Pick<Entry, 'type'>; readonly name: string },
  several: boolean,
): Promise<Target> {
  const tree = await places.tree(place);
  const there = await tree.look([]);
  const isDirectory = source.entry.type === 'directory';
  if (there?.type === 'directory') {
    if (source.name !== '') return { tree, into: [Buffer.from(source.name)] };
    if (isDirectory) return { tree, into: [] };
    throw new Problem(EXIT.usage, `Say what ${tree.shown([])} is to be called: it is a directory`);
  }
  if (several) throw new Problem(EXIT.failed, `${tree.shown([])} is no directory, and several are to be copied there`);
  if (there && isDirectory)
    throw new Problem(EXIT.failed, `${tree.shown([])} is no directory, and one is to be copied`);
  if (!isDirectory && place.path.endsWith('/')) throw new Problem(EXIT.failed, `${tree.shown([])} is no directory`);
  const path = there && place.is === 'here' ? await realpath(place.path) : place.path.replace(/(.)\/+$/, '$1');
  // In a guest the daemon goes through the link.
  if (there && place.is === 'guest') return { tree, into: [] };
  const parent = place.is === 'here' ? dirname(resolve(path)) : dirname(path);
  const above = await places.tree(place, parent);
  const name = Buffer.from(basename(place.is === 'here' ? resolve(path) : path));
  if ((await above.look([]))?.type !== 'directory')
    throw new Problem(EXIT.notFound, `The directory ${above.shown([])} is not there`);
  // Another copy may have made it meanwhile: that is no link.
  if (!there && (await above.look([name]))?.type === 'symlink')
    throw new Problem(EXIT.failed, `${tree.shown([])} is a link that leads nowhere`);
  return { tree: above, into: [name] };
}
