import { Fault } from '../domain/fault.ts';
import type { Files } from '../ports/host.ts';

/** Room on the disk that a piece of work has been promised. */
export interface Reservation extends Disposable {
  /** So many of its bytes are on the disk by now: they count as taken, and no longer as promised. */
  used(bytes: number): void;
}

interface Promised {
  left: number;
}

const mb = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MB`;

/**
 * Promises room on the disk before work begins, so that pieces of work which
 * would each fit do not together fill the disk that guests live on.
 */
export class DiskReservations {
  readonly #files: Files;
  readonly #directory: string;
  readonly #keepFreeBytes: number;
  readonly #promised = new Set<Promised>();

  constructor(files: Files, directory: string, keepFreeBytes: number) {
    this.#files = files;
    this.#directory = directory;
    this.#keepFreeBytes = keepFreeBytes;
  }

  /**
   * @param bytes - at least so many are needed
   * @param what - e.g. `pull image "x"`; `why` - what they are needed for
   * @throws Fault `full` StorageFull with what is needed, free, and promised to others
   */
  async reserve(bytes: number, what: string, why: string): Promise<Reservation> {
    const free = await this.#files.freeBytes(this.#directory);
    // From here on nothing awaits: of two that ask at once the second sees the first.
    const others = [...this.#promised].reduce((sum, { left }) => sum + left, 0);
    if (free - others < bytes + this.#keepFreeBytes) {
      const taken = others > 0 ? `, of which ${mb(others)} are reserved by other work under way` : '';
      throw new Fault(
        'full',
        `Cannot ${what}: it needs at least ${mb(bytes)} (${why}) and ${mb(this.#keepFreeBytes)} must stay free; ${this.#directory} has ${mb(free)} free${taken}`,
        { reason: 'StorageFull' },
      );
    }
    const promised: Promised = { left: bytes };
    this.#promised.add(promised);
    return {
      used: (done) => {
        promised.left = Math.max(0, Math.min(promised.left, bytes - done));
      },
      [Symbol.dispose]: () => void this.#promised.delete(promised),
    };
  }
}
