import { show } from '../tar/bad-tar.ts';
import type { Bytes, TarEntry, Time } from '../tar/entry.ts';
import { keptXattrs } from './ext4-limits.ts';
import { invalid } from './refusal.ts';

/** A file of any kind but a directory: it may have several names. */
export interface Inode {
  readonly is: 'inode';
  /** Which entry of which part it came from. */
  readonly part: number;
  readonly entry: number;
  /** Bytes of data. */
  readonly bytes: number;
  /** Where a symlink leads. */
  readonly symlink?: Bytes;
}

/** What is said of a directory. */
export type DirectoryMeta = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>;

export interface Directory {
  readonly is: 'directory';
  readonly children: Map<Bytes, Node>;
  /** Of its own entry; without one it is there because something lies in it. */
  meta?: DirectoryMeta;
  /** Of what made it needed, where it has no entry. */
  readonly impliedAt: Time;
  /** In a layer: names of lower layers that are no more. */
  gone?: Set<Bytes>;
  /** In a layer: nothing of lower layers is in it. */
  opaque?: boolean;
}

export type Node = Inode | Directory;

const WHITEOUT = '.wh.';
/** Of AUFS itself: never in a tree, but hard links may lead there. */
const AUFS = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';
/** Overlayfs' own ways to say the same, in layers that were packed as it keeps them. @see Documentation/filesystems/overlayfs.rst in Linux */
const OVERLAY_OPAQUE = 'trusted.overlay.opaque';
const isOverlayWhiteout = ({ type, device: [major, minor] }: TarEntry): boolean =>
  type === 'character device' && major === 0 && minor === 0;
/** As many symlinks as Linux follows in one path. @see path_resolution(7) */
const MAX_LINKS = 40;
const MAX_NAME_BYTES = 255;
const MAX_LINK_BYTES = 4095;

export const isAufs = (name: Bytes): boolean => name.startsWith(AUFS);

export const directory = (impliedAt: Time): Directory => ({ is: 'directory', children: new Map(), impliedAt });

/** What layers hold is counted as they are read, so that none can fill our memory. */
export interface Budget {
  /** One more file or directory. @throws when there are too many */
  node(): void;
  /** Bytes of text that are kept. @throws when there are too many */
  text(bytes: number): void;
}

/**
 * The tree of one layer, as it comes: built alone, as overlayfs keeps it, so
 * that nothing in it follows a symlink of a lower layer. Paths are resolved
 * here and nowhere on the host.
 */
export class LayerTree {
  readonly root: Directory = directory({ seconds: 0, fraction: '' });
  readonly #budget: Budget;
  readonly #lower: Directory;

  /** @param lower - all layers below it, for hard links that lead there */
  constructor(lower: Directory, budget: Budget) {
    this.#lower = lower;
    this.#budget = budget;
  }

  /** @throws Refusal */
  add(entry: TarEntry, part: number, number: number): void {
    const parts = cleaned(entry.name);
    const base = parts.pop();
    if (base === undefined) {
      if (entry.type !== 'directory') throw invalid('its root is no directory');
      this.#describe(this.root, entry);
      return;
    }
    const parent = this.#parent(parts, entry);
    if (base === OPAQUE) {
      parent.opaque = true;
      return;
    }
    if (base.startsWith(WHITEOUT) && !isAufs(base)) {
      const name = base.slice(WHITEOUT.length);
      if (name === '' || name === '.' || name === '..')
        throw invalid(`a layer has the whiteout ${show(entry.name)}, which names nothing`);
      this.#gone(parent, name);
      return;
    }
    if (isOverlayWhiteout(entry)) {
      parent.children.delete(base);
      this.#gone(parent, base);
      return;
    }
    const before = parent.children.get(base);
    if (entry.type === 'directory') {
      const made = before?.is === 'directory' ? before : this.#put(parent, base, directory(entry.mtime));
      this.#describe(made, entry);
      return;
    }
    // First, as it may lead to what it replaces.
    const inode = entry.type === 'hard link' ? this.#target(entry) : this.#inode(entry, part, number);
    this.#put(parent, base, inode);
  }

  #gone(parent: Directory, name: Bytes): void {
    this.#budget.text(name.length);
    parent.gone ??= new Set();
    parent.gone.add(name);
  }

  #inode(entry: TarEntry, part: number, number: number): Inode {
    if (entry.type !== 'symlink') return { is: 'inode', part, entry: number, bytes: entry.size };
    if (entry.link === '' || entry.link.length > MAX_LINK_BYTES)
      throw invalid(
        `a layer has the symlink ${show(entry.name)}, whose target of ${entry.link.length} bytes Linux cannot keep`,
      );
    this.#budget.text(entry.link.length);
    return { is: 'inode', part, entry: number, bytes: 0, symlink: entry.link };
  }

  #describe(node: Directory, entry: TarEntry): void {
    const { mode, uid, gid, mtime } = entry;
    if (entry.xattrs.get(OVERLAY_OPAQUE) === 'y') node.opaque = true;
    const xattrs = keptXattrs(entry);
    for (const [name, value] of xattrs) this.#budget.text(name.length + value.length);
    node.meta = { mode, uid, gid, mtime, xattrs };
  }

  #put<N extends Node>(parent: Directory, name: Bytes, node: N): N {
    if (name.length > MAX_NAME_BYTES)
      throw invalid(`a layer has ${show(name)}, a name of ${name.length} bytes, and ${MAX_NAME_BYTES} are the most`);
    if (!parent.children.has(name)) this.#budget.node();
    this.#budget.text(name.length);
    parent.children.set(name, node);
    return node;
  }

  /** The directory of so many names, made where it is not there; symlinks of this layer are followed within it. */
  #parent(names: readonly Bytes[], entry: TarEntry): Directory {
    const end = this.#walk(this.root, names, (parent, name) => this.#put(parent, name, directory(entry.mtime)));
    if (end?.is === 'directory') return end;
    throw invalid(
      `a layer has ${show(entry.name)}, which lies below something that the same layer has as no directory`,
    );
  }

  /** What a hard link leads to. */
  #target(entry: TarEntry): Inode {
    const names = cleaned(entry.link);
    const base = names.pop();
    const find = (root: Directory): Node | undefined => {
      const parent = this.#walk(root, names);
      return parent?.is === 'directory' && base !== undefined ? parent.children.get(base) : undefined;
    };
    const found = find(this.root) ?? find(this.#lower);
    if (found?.is === 'inode') return found;
    const why = found ? 'which is a directory' : 'which is not there';
    throw invalid(`a layer has the hard link ${show(entry.name)} to ${show(entry.link)}, ${why}`);
  }

  /** Follows names as a process would for which `root` is `/`. */
  #walk(
    root: Directory,
    names: readonly Bytes[],
    make?: (parent: Directory, name: Bytes) => Directory,
  ): Node | undefined {
    const left = names.toReversed();
    const at: Directory[] = [];
    let here = root;
    let links = 0;
    for (let name = left.pop(); name !== undefined; name = left.pop()) {
      if (name === '..') {
        here = at.pop() ?? root;
        continue;
      }
      const next = here.children.get(name) ?? make?.(here, name);
      if (next?.is === 'directory') {
        at.push(here);
        here = next;
        continue;
      }
      if (next?.symlink === undefined) return left.length === 0 ? next : undefined;
      if (++links > MAX_LINKS) return undefined;
      if (next.symlink.startsWith('/')) {
        here = root;
        at.length = 0;
      }
      left.push(...steps(next.symlink).toReversed());
    }
    return here;
  }
}

/** The steps of a path; `..` stays. */
const steps = (path: Bytes): Bytes[] => path.split('/').filter((name) => name !== '' && name !== '.');

/** The names of a path below the root, which `..` does not leave. */
export function cleaned(path: Bytes): Bytes[] {
  const names: Bytes[] = [];
  for (const name of steps(path))
    if (name === '..') names.pop();
    else names.push(name);
  return names;
}

/** What container runtimes put into a container to say that it is one. */
const MARKS = [['.dockerenv'], ['run', '.containerenv']] as const;

/**
 * Removes the marks of a container, which `docker export` and the like leave: systemd would believe them, leave devices
 * alone and start no cloud-init in a microVM.
 * @see https://systemd.io/CONTAINER_INTERFACE/
 */
export function removeMarks(tree: Directory): void {
  for (const [first, second] of MARKS) {
    const node = tree.children.get(first);
    if (second === undefined) {
      if (node?.is === 'inode') tree.children.delete(first);
    } else if (node?.is === 'directory' && node.children.get(second)?.is === 'inode') node.children.delete(second);
  }
}

/**
 * Lays a layer over what lower layers came to, as overlayfs shows it. A
 * whiteout hides what is below its own layer only.
 */
export function lay(lower: Directory, upper: Directory): void {
  if (upper.opaque) lower.children.clear();
  for (const name of upper.gone ?? []) lower.children.delete(name);
  if (upper.meta) lower.meta = upper.meta;
  for (const [name, node] of upper.children) {
    if (isAufs(name)) continue;
    if (node.is === 'inode') {
      lower.children.set(name, node);
      continue;
    }
    const below = lower.children.get(name);
    const merged = below?.is === 'directory' ? below : directory(node.impliedAt);
    if (merged !== below) lower.children.set(name, merged);
    lay(merged, node);
  }
}
