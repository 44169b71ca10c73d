import type { MicroVmView, Uid } from '../domain/microvm.ts';
import type { Row } from '../ports/store.ts';
import type { GuestState } from '../ports/vmm.ts';
import type { Needs, NeedsOf } from './needs.ts';
import { claimsToRun, ifReadable, view } from './view.ts';

/** A form in which microVMs are shown: made of a view, and of nothing else. */
export interface Form<T> {
  make(vm: MicroVmView): T;
  /** How much memory it takes. */
  bytesOf(made: T): number;
}

/** What is shown of one microVM. */
export interface One<T> {
  /** Empty where its metadata cannot be read: the store has said so. */
  readonly made: readonly T[];
  /** What it has as it is stored beside its own text. */
  readonly metadataBytes: number;
}

/** Shows a microVM; undefined: its record cannot be read. */
export type Show<T> = (row: Row) => One<T> | undefined;

type ShowNeeds = Needs<'progress' | 'running' | 'clock' | 'runDirectory'> & NeedsOf<'store', 'get' | 'metadataOf'>;

/** Makes each anew. */
export const showing =
  <T>(needs: ShowNeeds, make: (vm: MicroVmView) => T): Show<T> =>
  ({ uid }) => {
    const vm = needs.store.get(uid);
    return (
      vm && {
        made: ifReadable(() => make(view(vm, needs))),
        metadataBytes: vm.spec.metadataRef?.bytes ?? 0,
      }
    );
  };

interface Kept<T> extends One<T> {
  readonly version: number;
  /** What the VMM says of the guest, where the record says that it runs. */
  readonly guest: GuestState | undefined;
  /** Of memory. */
  readonly size: number;
}

/** Some 10,000 microVMs, without much metadata. */
const MOST_BYTES = 16 << 20;
/** What is longer is made anew each time: it is seldom, and few of them would drive out many. */
const LONG_BYTES = 8 << 10;
/** A map's entry, and the objects around what was made. */
const ENTRY_BYTES = 500;

/**
 * Keeps what was made of a view, for as long as the view would be the same. It is where it shows the record as it is
 * stored, so that it depends on the record's version, on what the VMM says of the guest, and on nothing being done for it
 * now: those are looked at each time. What shows more than that (progress, a guest that nobody watches yet, what the clock
 * has a part in) is never kept.
 */
export class KeptForm<T> {
  readonly #needs: ShowNeeds;
  readonly #form: Form<T>;
  readonly #mostBytes: number;
  readonly #kept = new Map<Uid, Kept<T>>();
  #bytes = 0;

  constructor(needs: ShowNeeds & Needs<'onChange'>, form: Form<T>, mostBytes = MOST_BYTES) {
    this.#needs = needs;
    this.#form = form;
    this.#mostBytes = mostBytes;
    // Not for the truth, which is looked at: of what changes often, and of what is gone, nothing stays.
    needs.onChange((uids) => {
      for (const uid of uids) this.#drop(uid);
    });
  }

  /** How much memory is taken. */
  get bytes(): number {
    return this.#bytes;
  }

  readonly show: Show<T> = ({ uid, version }) => {
    const kept = this.#kept.get(uid);
    if (kept && kept.version === version && this.#isStill(uid, kept)) return kept;
    this.#drop(uid);
    const { store, progress, running } = this.#needs;
    const vm = store.get(uid);
    if (!vm) return undefined;
    const metadataBytes = vm.spec.metadataRef?.bytes ?? 0;
    let isAsStored = vm.goneAt === undefined && progress(uid) === undefined;
    const made = ifReadable(() => {
      const shown = view(vm, this.#needs);
      isAsStored &&= shown.state === vm.state;
      return this.#form.make(shown);
    });
    if (isAsStored)
      for (const one of made) {
        const guest = claimsToRun(vm) ? running(uid)?.guest : undefined;
        const size = this.#form.bytesOf(one) + ENTRY_BYTES;
        this.#keep(uid, { made, metadataBytes, version: vm.version, guest, size });
      }
    return { made, metadataBytes };
  };

  #isStill(uid: Uid, { guest }: Kept<T>): boolean {
    const { progress, running } = this.#needs;
    return progress(uid) === undefined && (guest === undefined || running(uid)?.guest === guest);
  }

  /** Where there is no room, what is kept stays: else of a list that is longer than the room nothing would be found again. */
  #keep(uid: Uid, kept: Kept<T>): void {
    if (kept.size > LONG_BYTES || this.#bytes + kept.size > this.#mostBytes) return;
    this.#kept.set(uid, kept);
    this.#bytes += kept.size;
  }

  #drop(uid: Uid): void {
    this.#bytes -= this.#kept.get(uid)?.size ?? 0;
    this.#kept.delete(uid);
  }
}
