import { orAborted } from '../base/or-aborted.ts';
import { guestGaveUp, guestInit, guestReports } from '../domain/conditions.ts';
import { CONSOLE_KEEP_BYTES } from '../domain/console-sizes.ts';
import { type Emergency, emergencyIn, emergencyText } from '../domain/emergency.ts';
import {
  type AskedOfGuest,
  askedOfGuest,
  type GuestReport,
  initIn,
  MAX_LINE,
  reportIn,
  unheard,
} from '../domain/guest-report.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { Store, Transactions } from '../ports/store.ts';
import type { RunningVmm } from '../ports/vmm.ts';

export interface GuestReportsDeps {
  readonly store: Store;
  readonly transactions: Pick<Transactions, 'together'>;
  readonly files: Pick<Files, 'read' | 'stat' | 'watch'>;
  readonly clock: Clock;
  readonly log: Log;
  consolePath(vm: MicroVm): string;
}

/** What is read at once, and how long it is until more is: a guest that floods its console takes no time from others. */
const PIECE_BYTES = 64 << 10;
const PAUSE_MS = 100;
/** So much of a boot's console is read for it. It is said early: what comes later is not believed to come. */
const MAX_BYTES = 8 << 20;
/** The same where only our initrd may have something to say, which comes after the kernel's own lines. */
const MAX_INIT_BYTES = 256 << 10;
/** What could not be stored or read is tried again after this time. */
const AGAIN_MS = 5_000;

/**
 * Hears on the consoles what guests say that they applied, and stores it as the condition `GuestConfigured`:
 * also where one takes it back, as long as it runs. Which init the root has, and that initrd or init gave up, is heard on the way.
 */
export class GuestReports {
  readonly #deps: GuestReportsDeps;
  readonly #listeners = new Map<Uid, Listener>();

  constructor(deps: GuestReportsDeps) {
    this.#deps = deps;
  }

  /** @param began - `earlier`: what is stored stays until the console says otherwise */
  follow(uid: Uid, running: RunningVmm, began: 'now' | 'earlier'): void {
    this.leave(uid);
    const vm = this.#deps.store.get(uid);
    if (!vm) return;
    const isKnown = began === 'earlier' && vm.conditions.some(({ type }) => type === 'GuestConfigured');
    this.#listen(vm, running.bootedAt, isKnown);
    running.onBoot(() => this.#listen(vm, running.bootedAt, false));
  }

  leave(uid: Uid): void {
    this.#listeners.get(uid)?.stop();
    this.#listeners.delete(uid);
  }

  /** The run is over: what it wrote last is heard still. */
  async finish(uid: Uid): Promise<void> {
    const listener = this.#listeners.get(uid);
    this.leave(uid);
    await listener?.last();
  }

  #listen(vm: MicroVm, offset: number, isKnown: boolean): void {
    this.leave(vm.uid);
    const asked = askedOfGuest(vm);
    const report = unheard(asked);
    const maxBytes = report.status === 'True' ? MAX_INIT_BYTES : MAX_BYTES;
    const listener = new Listener(vm, asked, { offset, maxBytes }, this.#deps);
    this.#listeners.set(vm.uid, listener);
    listener.begin(isKnown ? undefined : report);
  }
}

/** One console, from the beginning of a boot. */
class Listener {
  readonly #uid: Uid;
  readonly #asked: AskedOfGuest;
  readonly #path: string;
  readonly #deps: GuestReportsDeps;
  readonly #stopping = new AbortController();
  #offset: number;
  /** Where it is read no further. */
  readonly #end: number;
  /** Of the line that has not ended yet, without the beginning of one that is too long. */
  #rest = '';
  #emergency: Emergency = {};
  #hasChanged = false;
  #onChange = (): void => undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor(
    vm: MicroVm,
    asked: AskedOfGuest,
    { offset, maxBytes }: { readonly offset: number; readonly maxBytes: number },
    deps: GuestReportsDeps,
  ) {
    this.#uid = vm.uid;
    this.#asked = asked;
    this.#path = deps.consolePath(vm);
    this.#deps = deps;
    this.#offset = offset;
    this.#end = offset + maxBytes;
  }

  /** @param first - what is known before anything is heard */
  begin(first: GuestReport | undefined): void {
    this.#loop = this.#run(first);
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** After `stop`: what lies there still, as far as one piece. */
  async last(): Promise<void> {
    await this.#loop;
    try {
      if (this.#offset < this.#end) await this.#hear();
    } catch (error) {
      this.#complain(error);
    }
  }

  async #run(first: GuestReport | undefined): Promise<void> {
    const { clock } = this.#deps;
    const { signal } = this.#stopping;
    let unsaid = first;
    let unwatch: (() => void) | undefined;
    try {
      while (!signal.aborted) {
        try {
          if (unsaid) await this.#begun(unsaid);
          unsaid = undefined;
          unwatch ??= this.#deps.files.watch(this.#path, () => this.#changed());
          const heard = await this.#hear(signal);
          if (this.#offset >= this.#end) return;
          if (heard === 'nothing') await this.#change(signal);
          await clock.sleep(PAUSE_MS, signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#complain(error);
          await clock.sleep(AGAIN_MS, signal);
        }
      }
    } catch {
      // stopped
    } finally {
      unwatch?.();
    }
  }

  /** Reads one piece. */
  async #hear(signal?: AbortSignal): Promise<'more' | 'nothing'> {
    const { files } = this.#deps;
    const size = (await files.stat(this.#path))?.sizeBytes ?? 0;
    // Who fell behind the freed beginning goes on where the bytes are.
    const offset = Math.max(this.#offset, size - CONSOLE_KEEP_BYTES);
    const bytes = size > offset ? await files.read(this.#path, { offset, maxBytes: PIECE_BYTES }) : undefined;
    if (signal?.aborted || !bytes || bytes.length === 0) return 'nothing';
    const text = this.#rest + new TextDecoder().decode(bytes);
    const whole = text.lastIndexOf('\n') + 1;
    const lines = text.slice(0, whole);
    const init = initIn(lines);
    if (init) this.#deps.store.update(this.#uid, (vm) => guestInit(vm, init, this.#deps.clock.now()));
    const report = reportIn(lines, this.#asked);
    if (report) this.#say(report);
    this.#hearEmergency(lines);
    this.#rest = text.slice(whole).slice(-MAX_LINE);
    this.#offset = offset + bytes.length;
    return this.#offset < size ? 'more' : 'nothing';
  }

  /** Stored with what is said of its VMM at the same time. */
  #begun(report: GuestReport): Promise<void> {
    const { store, transactions, clock } = this.#deps;
    return transactions.together(() => {
      store.update(this.#uid, (vm) => guestGaveUp(vm, undefined, clock.now()));
      this.#say(report);
    });
  }

  #hearEmergency(lines: string): void {
    const { store, clock, log } = this.#deps;
    const before = this.#emergency;
    const heard = emergencyIn(lines, before);
    if (heard.words !== undefined && before.words === undefined) {
      const message = emergencyText(heard);
      store.update(this.#uid, (vm) => guestGaveUp(vm, message, clock.now()));
      log.warn('the initrd or init of a guest gave up', { uid: this.#uid, message });
    }
    this.#emergency = heard;
  }

  #say(report: GuestReport): void {
    const { store, clock } = this.#deps;
    store.update(this.#uid, (vm) => guestReports(vm, report, clock.now()));
  }

  #changed(): void {
    this.#hasChanged = true;
    this.#onChange();
  }

  /** Resolves when the file has changed since the last call. */
  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onChange = resolve;
    if (this.#hasChanged) resolve();
    try {
      await orAborted(promise, signal);
    } finally {
      this.#hasChanged = false;
    }
  }

  #complain(error: unknown): void {
    const { log } = this.#deps;
    log.warn('what a guest says of its configuration could not be read or stored', {
      uid: this.#uid,
      error,
    });
  }
}
