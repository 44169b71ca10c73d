import { shorten } from '../domain/labels.ts';
import type { Files } from '../ports/host.ts';
import { BadTar } from '../tar/bad-tar.ts';
import { TarReader } from '../tar/reader.ts';
import type { Blob } from '../unpack/job.ts';
import { cleaned } from '../unpack/layer-tree.ts';
import { type BlobStore, checked } from './blob-store.ts';
import { dockerImages } from './docker-archive.ts';
import { MAX_MANIFEST_BYTES, parseIndex } from './layout.ts';

/** More than any image has layers; each costs a read. */
const MAX_MEMBERS = 10_000;
const BLOCK = 512;

/** Regular files of a tar archive, where they lie in it. */
export interface Members {
  find(name: string): Omit<Blob, 'digest'> | undefined;
  /** A small one. */
  read(name: string): Promise<Uint8Array | undefined>;
  readonly names: readonly string[];
}

/**
 * An archive of images, not packed: a directory of OCI layout as one tar
 * file, or what `docker save` writes. Nothing is unpacked for it.
 * @throws Error when it is neither; the message is a clause
 */
export async function archiveStore(files: Files, path: string): Promise<BlobStore> {
  const members = await readMembers(files, path).catch((error: unknown): never => {
    throw error instanceof BadTar ? new Error(`it ${error.message}`) : error;
  });
  const what = `the archive ${path}`;
  const index = await members.read('index.json');
  if (index) {
    const nameOf = (digest: string): string => `blobs/${digest.replace(':', '/')}`;
    return {
      what,
      entries: async () => parseIndex(new TextDecoder().decode(index)),
      text: async (digest) => checked(await members.read(nameOf(digest)), digest),
      find: async (digest) => {
        const found = members.find(nameOf(digest));
        return found && { ...found, digest };
      },
    };
  }
  const docker = await members.read('manifest.json');
  if (docker) return dockerStore(members, what, docker);
  const looksLikeRoot = members.names.some((name) => /^(etc|usr|bin)(\/|$)/.test(name));
  const inside = members.names.find((name) => /^[^/]+\/(?:index|manifest)\.json$/.test(name))?.split('/')[0];
  if (inside !== undefined)
    throw new Error(
      `what it has of images is not at its top, but in the directory "${shorten(inside)}": pack that with "tar -C ${shorten(inside)} -cf FILE ."`,
    );
  throw new Error(
    `it is no archive of images: it has neither index.json nor manifest.json${
      looksLikeRoot
        ? '; it looks like the files of an image alone, as docker-export writes them: make an image of them first'
        : ''
    }`,
  );
}

async function dockerStore(members: Members, what: string, manifest: Uint8Array): Promise<BlobStore> {
  const { entries, texts, layers } = await dockerImages(new TextDecoder().decode(manifest), members);
  return {
    what,
    entries: async () => entries,
    text: async (digest) => texts.get(digest),
    find: async (digest) => {
      const text = texts.get(digest);
      if (text !== undefined) throw new Error(`${digest} is no file of it`);
      return layers.get(digest);
    },
  };
}

async function readMembers(files: Files, path: string): Promise<Members> {
  const found = new Map<string, Omit<Blob, 'digest'>>();
  const links = new Map<string, string>();
  const bytes = new FileBytes(files, path);
  const archive = new TarReader(bytes);
  for (let entry = await archive.next(); entry; entry = await archive.next()) {
    const name = cleaned(entry.name).join('/');
    if (found.size + links.size >= MAX_MEMBERS) throw new Error(`it has more than ${MAX_MEMBERS} files`);
    found.delete(name);
    links.delete(name);
    if (entry.type === 'file' && !entry.sparse) found.set(name, { path, offset: bytes.position, size: entry.size });
    // Docker once wrote a layer that several images share as links.
    if (entry.type === 'hard link') links.set(name, cleaned(entry.link).join('/'));
    if (entry.type === 'symlink') links.set(name, cleaned(`${name}/../${entry.link}`).join('/'));
  }
  const find = (name: string): Omit<Blob, 'digest'> | undefined => {
    const clean = cleaned(name).join('/');
    const target = links.get(clean);
    return found.get(clean) ?? (target === undefined ? undefined : found.get(target));
  };
  return {
    find,
    names: [...found.keys(), ...links.keys()],
    read: async (name) => {
      const member = find(name);
      if (!member) return undefined;
      if (member.size > MAX_MANIFEST_BYTES) throw new Error('a manifest in it is larger than 4 MiB');
      if (member.size === 0) return new Uint8Array();
      const data = await files.read(path, { offset: member.offset, maxBytes: member.size });
      return data && data.length === member.size ? data : undefined;
    },
  };
}

/** A file, read in small pieces where they are wanted: what is passed over is not read. */
class FileBytes {
  readonly #files: Files;
  readonly #path: string;
  #size: number | undefined;
  position = 0;

  constructor(files: Files, path: string) {
    this.#files = files;
    this.#path = path;
  }

  async some(max: number): Promise<Buffer | undefined> {
    const data = await this.exactly(Math.min(max, BLOCK));
    return data.length === 0 ? undefined : data;
  }

  async exactly(count: number): Promise<Buffer> {
    const wanted = Math.min(count, Math.max(0, (await this.#length()) - this.position));
    if (wanted === 0) return Buffer.alloc(0);
    const data = await this.#files.read(this.#path, { offset: this.position, maxBytes: wanted });
    const bytes = Buffer.from(data ?? []);
    this.position += bytes.length;
    return bytes;
  }

  async skip(count: number): Promise<number> {
    const skipped = Math.min(count, Math.max(0, (await this.#length()) - this.position));
    this.position += skipped;
    return skipped;
  }

  async #length(): Promise<number> {
    this.#size ??= (await this.#files.stat(this.#path))?.sizeBytes ?? 0;
    return this.#size;
  }
}
