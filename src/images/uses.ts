import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';

/** Who asked for an image, and when last: for people, for the choice of what goes first, and for tags that are not looked up. */
export interface Uses {
  /** In full, as they led to it; newest last. */
  readonly references: readonly string[];
  readonly lastUsedAt: number;
}

/** As many names as are kept of one image. */
const MAX_REFERENCES = 64;
/** A use is written down once in so many milliseconds: creates must not wait for notes. */
const WRITE_EVERY_MS = 60_000;

/** Keeps the uses of each image in a small file beside its tree, and in memory. */
export class UseNotes {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #known = new Map<string, { uses: Uses; writtenAt: number }>();

  constructor(files: Files, clock: Clock) {
    this.#files = files;
    this.#clock = clock;
  }

  /** @returns whether the reference is a new one for it */
  async note(path: string, reference: string): Promise<boolean> {
    await this.read(path);
    const before = this.#known.get(path);
    const now = this.#clock.now();
    const references = before?.uses.references ?? [];
    const isNew = !references.includes(reference);
    const uses = {
      references: isNew ? [...references, reference].slice(-MAX_REFERENCES) : references,
      lastUsedAt: now,
    };
    const writtenAt = before?.writtenAt ?? 0;
    const isDue = isNew || now - writtenAt >= WRITE_EVERY_MS || now < writtenAt;
    this.#known.set(path, { uses, writtenAt: isDue ? now : writtenAt });
    if (isDue) await this.#files.write(path, JSON.stringify(uses));
    return isNew;
  }

  /** A tag has moved to another image. */
  async drop(path: string, reference: string): Promise<void> {
    const { references, lastUsedAt } = await this.read(path);
    if (!references.includes(reference)) return;
    const uses = { references: references.filter((one) => one !== reference), lastUsedAt };
    this.#known.set(path, { uses, writtenAt: this.#clock.now() });
    await this.#files.write(path, JSON.stringify(uses));
  }

  /** The references that are known without a look at the disk. */
  known(path: string): readonly string[] {
    return this.#known.get(path)?.uses.references ?? [];
  }

  async read(path: string): Promise<Uses> {
    const known = this.#known.get(path);
    if (known) return known.uses;
    const uses = parse(await this.#files.read(path, { maxBytes: 1 << 20 }));
    // Another may have noted a use while we read.
    const since = this.#known.get(path);
    if (since) return since.uses;
    this.#known.set(path, { uses, writtenAt: uses.lastUsedAt });
    return uses;
  }

  forget(path: string): void {
    this.#known.delete(path);
  }
}

function parse(data: Uint8Array | undefined): Uses {
  const none: Uses = { references: [], lastUsedAt: 0 };
  if (!data) return none;
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(data));
    if (typeof json !== 'object' || json === null) return none;
    const references = 'references' in json && Array.isArray(json.references) ? json.references : [];
    return {
      references: references.filter((r): r is string => typeof r === 'string'),
      lastUsedAt: 'lastUsedAt' in json && typeof json.lastUsedAt === 'number' ? json.lastUsedAt : 0,
    };
  } catch {
    return none;
  }
}
