import { releasesOf } from '../../domain/boot-notes.ts';
import { Fault } from '../../domain/fault.ts';
import type { KernelFacts } from '../../domain/kernel-facts.ts';
import { shorten } from '../../domain/labels.ts';
import type { Files, Run } from '../../ports/host.ts';
import type { BootWants } from '../../ports/images.ts';
import type { SharedWork } from '../shared-work.ts';
import { findInTree } from '../tree-path.ts';
import { bytesOf } from './bytes.ts';
import { type Candidate, candidatesOf, listIn, releaseIn, WELL_KNOWN } from './candidates.ts';
import { needsFit, planFit } from './fit.ts';
import { lookIntoBzImage, lookIntoElf, NOT_YET, type Room } from './look-into.ts';
import { compareReleases } from './releases.ts';
import { BOOTABLE, type Role, type Worth, worthAs } from './roles.ts';
import { type FileKind, whatFile } from './what-file.ts';

export interface FoundFile {
  /** Its name in the image, without a leading `/`. */
  readonly filename: string;
  /** Where it lies on the host: in the tree, with no symlink. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly kind: FileKind;
  readonly release?: string;
}

export interface FoundKernel extends FoundFile {
  readonly facts: KernelFacts;
}

export interface FoundBootFiles {
  readonly kernel?: FoundKernel;
  readonly initrd?: FoundFile & {
    /** It is one of ours; absent: it is none, or was not looked at for that. */
    readonly takesProcess?: true;
  };
}

export interface SearchDeps {
  readonly files: Files;
  readonly run: Run;
  /** Room on the disk, and a new path each time, for what must be unpacked to be looked at. */
  room(bytes: number): Promise<Room>;
  /** What was looked at before. */
  readonly known: Known;
}

/** By path: a tree does not change, and is under its digest's name. */
export interface Known {
  readonly kinds: Map<string, FileKind>;
  /** `undefined` is no Linux. */
  readonly facts: Map<string, KernelFacts | undefined>;
  /** However many want to know it at once, one looks. */
  readonly looks: SharedWork<KernelFacts | undefined>;
}

/** Files that are remembered; then it begins anew. */
const MAX_KNOWN = 2_000;

function remember<T>(known: Map<string, T>, path: string, what: T): T {
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(path, what);
  return what;
}

const REASONS = { kernel: 'KernelNotFound', initrd: 'InitrdNotFound' } as const;
const LIKELY: Readonly<Record<Role, RegExp>> = { kernel: /vmlinu|image|kernel|linux/i, initrd: /init/i };
const MAX_SHOWN = 8;
/** As many unfit candidates as a message tells of. */
const MAX_TOLD = 4;

/**
 * Finds kernel and initrd in an image's tree, by what the files are. What the
 * spec names is taken or refused; else the best candidate is chosen.
 *
 * @throws Fault `not_found` KernelNotFound or InitrdNotFound: with the file, what is wrong with it, what would do, and
 * what the image has instead
 */
export class BootFiles {
  readonly #deps: SearchDeps;
  readonly #tree: string;
  readonly #signal: AbortSignal;

  constructor(tree: string, deps: SearchDeps, signal: AbortSignal) {
    this.#tree = tree;
    this.#deps = deps;
    this.#signal = signal;
  }

  async find({ kernel, initrd }: BootWants): Promise<FoundBootFiles> {
    // Of several kernels one that has its initrd here: where both are to be chosen.
    const initrds = initrd && !initrd.filename ? await this.#usable('initrd') : [];
    const found = kernel && (await this.#kernel(kernel.filename, initrd ? initrds : []));
    const releases = initrd?.releases ?? (found ? releasesOf(found) : []);
    return {
      ...(found && { kernel: found }),
      ...(initrd && { initrd: await this.#initrd(initrd.filename, initrds, releases) }),
    };
  }

  async #kernel(filename: string | undefined, initrds: readonly Usable[]): Promise<FoundKernel> {
    if (filename) {
      const one = await this.#named('kernel', filename);
      const looked = await this.#lookInto(one);
      if ('wrong' in looked) throw this.#unfit('kernel', one.filename, looked, await this.#likely('kernel'));
      return looked;
    }
    const usable = await this.#usable('kernel');
    const releases = new Set(initrds.map(({ release }) => release));
    const lacksInitrd = ({ release }: Usable): boolean =>
      releases.size > 0 && !releases.has(undefined) && release !== undefined && !releases.has(release);
    const ordered = usable.toSorted(
      (a, b) =>
        Number(lacksInitrd(a)) - Number(lacksInitrd(b)) ||
        GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group) ||
        (isByRelease(a) ? compareReleases(versionOf(a), versionOf(b)) : 0) ||
        a.rank - b.rank ||
        usable.indexOf(a) - usable.indexOf(b),
    );
    const wrong: string[] = [];
    for (const one of ordered) {
      const looked = await this.#lookInto(one);
      if (!('wrong' in looked)) return looked;
      wrong.push(`${shorten(one.filename)} ${looked.wrong}`);
    }
    throw await this.#noneOf('kernel', wrong);
  }

  async #initrd(
    filename: string | undefined,
    usable: readonly Usable[],
    releases: readonly string[],
  ): Promise<FoundFile> {
    if (filename) return this.#named('initrd', filename);
    const fits = ({ release }: Usable): number =>
      release === undefined || releases.length === 0 ? 1 : releases.includes(release) ? 0 : 2;
    const [best] = usable.toSorted(
      (a, b) =>
        fits(a) - fits(b) ||
        GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group) ||
        (isByRelease(a) ? compareReleases(a.release, b.release) : 0) ||
        a.rank - b.rank ||
        usable.indexOf(a) - usable.indexOf(b),
    );
    if (!best) throw await this.#noneOf('initrd', []);
    return best;
  }

  async #named(role: Role, filename: string): Promise<FoundFile> {
    const parts = filename.split('/').filter((part) => part !== '' && part !== '.');
    const shown = `"${shorten(filename)}"`;
    if (leaves(parts))
      throw new Fault('invalid', `Cannot take ${shown} as ${role}: it leaves the image`, { reason: REASONS[role] });
    const name = parts.join('/');
    const at = parts.length > 0 ? await findInTree(this.#deps.files, this.#tree, name) : undefined;
    if (at?.info.kind !== 'file') {
      const wrong = at ? `is no regular file (${at.info.kind})` : await this.#whyNotThere(parts);
      throw this.#unfit(role, filename, { wrong }, await this.#likely(role));
    }
    const release = releaseIn(role, at.path.slice(this.#tree.length + 1));
    const one = { filename: name, path: at.path, sizeBytes: at.info.sizeBytes };
    const kind = await this.#kindOf(one);
    const worth = worthAs(role, kind);
    if ('wrong' in worth) throw this.#unfit(role, filename, worth, await this.#likely(role, at.path));
    return { ...one, kind, ...(release !== undefined && { release }) };
  }

  async #whyNotThere(parts: readonly string[]): Promise<string> {
    const { files } = this.#deps;
    const path = `${this.#tree}/${parts.join('/')}`;
    const info = parts.includes('..') ? undefined : await files.stat(path);
    return info?.kind === 'symlink'
      ? `is a link to "${shorten(await files.readLink(path))}", and that is not in the image`
      : 'there is no such file in the image';
  }

  /** Candidates that can serve, by what they are; best place first. */
  async #usable(role: Role): Promise<readonly Usable[]> {
    const usable: Usable[] = [];
    for (const one of await candidatesOf(this.#deps.files, this.#tree, role)) {
      const kind = await this.#kindOf(one);
      const worth = worthAs(role, kind);
      if ('wrong' in worth) continue;
      const inBytes = kind.is === 'bzImage' ? kind.setup.release : undefined;
      const release = one.release ?? inBytes;
      usable.push({ ...one, kind, rank: worth.rank, ...(release !== undefined && { release }) });
    }
    return usable;
  }

  async #kindOf({ path, sizeBytes }: Pick<Candidate, 'path' | 'sizeBytes'>): Promise<FileKind> {
    const { files, known } = this.#deps;
    return (
      known.kinds.get(path) ??
      remember(known.kinds, path, await whatFile(bytesOf(files, path, sizeBytes), this.#signal))
    );
  }

  async #lookInto(one: FoundFile): Promise<FoundKernel | Extract<Worth, { wrong: string }>> {
    const { kind } = one;
    const found = await this.#factsOf(one);
    if (!found && kind.is === 'elf' && kind.elf.pvhEntry === undefined)
      return { wrong: 'is a 64-bit ELF file without a PVH entry point, and no Linux kernel' };
    if (needsFit(kind)) {
      const fit = planFit(kind.elf);
      if ('wrong' in fit) return { wrong: `has no PVH entry point, and ${fit.wrong}` };
    }
    const form = kind.is === 'bzImage' ? 'bzImage' : 'vmlinux';
    const facts: KernelFacts = { ...(found ?? { unseen: 'it is no Linux' }), form };
    const release = one.release ?? facts.release;
    return { ...one, facts, ...(release !== undefined && { release }) };
  }

  async #factsOf(one: FoundFile): Promise<KernelFacts | undefined> {
    const { facts, looks } = this.#deps.known;
    const { path } = one;
    if (facts.has(path)) return facts.get(path);
    return await looks.run(path, this.#signal, async (signal) => {
      const found = await this.#look(one, signal);
      return found?.unseen?.endsWith(NOT_YET) ? found : remember(facts, path, found);
    });
  }

  async #look({ path, sizeBytes, kind }: FoundFile, signal: AbortSignal): Promise<KernelFacts | undefined> {
    const { files } = this.#deps;
    const bytes = bytesOf(files, path, sizeBytes);
    if (kind.is === 'elf') return lookIntoElf(bytes, kind.elf, signal);
    return kind.is === 'bzImage' ? lookIntoBzImage(bytes, kind.setup, this.#deps, signal) : undefined;
  }

  #unfit(
    role: Role,
    filename: string,
    { wrong, remedy }: { readonly wrong: string; readonly remedy?: string },
    has: readonly string[],
  ): Fault {
    const isMissing = wrong.startsWith('there is');
    const state = isMissing ? wrong : `it ${wrong}`;
    const would = isMissing || wrong.startsWith('is no regular') ? '' : `; ${remedy ?? BOOTABLE[role]}`;
    return missing(role, `Cannot take "${shorten(filename)}" as ${role}: ${state}${would}`, has);
  }

  /** @param more - what was wrong with those that looked well */
  async #noneOf(role: Role, more: readonly string[]): Promise<Fault> {
    const told = [...more];
    const candidates = await candidatesOf(this.#deps.files, this.#tree, role);
    for (const one of candidates) {
      const worth = worthAs(role, await this.#kindOf(one));
      if ('wrong' in worth && (one.group !== 'at the root' || LIKELY[role].test(one.filename)))
        told.push(`${shorten(one.filename)} ${worth.wrong}${worth.remedy === undefined ? '' : ` (${worth.remedy})`}`);
    }
    const failed = `Cannot find the ${role} in the image`;
    if (told.length > 0) {
      const left = told.length > MAX_TOLD ? `, and ${told.length - MAX_TOLD} more` : '';
      return missing(role, `${failed}: ${told.slice(0, MAX_TOLD).join(', ')}${left}; ${BOOTABLE[role]}`, []);
    }
    const tried = [...WELL_KNOWN[role].slice(0, 4), ...PLACES[role]];
    return missing(role, `${failed}: it has none of ${tried.join(', ')}`, await this.#likely(role));
  }

  /** What may be meant instead: those that can serve, else regular files with a likely name, else whatever is at the root. */
  async #likely(role: Role, not?: string): Promise<readonly string[]> {
    const { files } = this.#deps;
    const usable = (await this.#usable(role)).filter(({ path }) => path !== not);
    if (usable.length > 0) return usable.slice(0, MAX_SHOWN).map(({ filename }) => filename);
    const root = await listIn(files, this.#tree, '');
    const all = [...root, ...(await listIn(files, this.#tree, 'boot')).map((name) => `boot/${name}`)];
    const meant = all.filter((name) => name !== 'boot' && LIKELY[role].test(name.replace(/^boot\//, '')));
    return (meant.length > 0 ? meant : root).slice(0, MAX_SHOWN);
  }
}

type Usable = Candidate & { readonly kind: FileKind; readonly rank: number };

const GROUPS: readonly Candidate['group'][] = ['well-known', 'of a release', 'at the root', 'elsewhere'];
/** Of these several are there because there are several releases. */
const isByRelease = ({ group }: Candidate): boolean => group === 'of a release' || group === 'elsewhere';
const PLACES: Readonly<Record<Role, readonly string[]>> = {
  kernel: ['boot/vmlinux-*', 'boot/vmlinuz-*', 'usr/lib/modules/*/vmlinuz'],
  initrd: ['boot/initrd.img-*', 'boot/initramfs-*.img', 'usr/lib/modules/*/initramfs.img'],
};

/** `linux-lts` is no version: then the bytes say it. */
const versionOf = ({ release, kind }: Usable): string | undefined =>
  release !== undefined && /\d/.test(release) ? release : kind.is === 'bzImage' ? kind.setup.release : release;

/** Whether a path has more `..` than directories before them. */
function leaves(parts: readonly string[]): boolean {
  let depth = 0;
  return parts.some((part) => {
    depth += part === '..' ? -1 : 1;
    return depth < 0;
  });
}

function missing(role: Role, message: string, candidates: readonly string[]): Fault {
  const has = candidates.length > 0 ? `; the image has ${candidates.map(shorten).join(', ')}` : '';
  return new Fault('not_found', `${message}${has}; name the file in "filename"`, { reason: REASONS[role] });
}
