import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { HOST_OWNER, type LedgerEntry } from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import {
  aliasPrefix,
  macvtapRoutingTable,
  macvtapServiceAddress,
  macvtapServiceName,
  macvtapTableName,
  type Names,
} from '../domain/names.ts';
import { nicLost, nicsFound } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { ParentNetwork } from '../ports/managed-network.ts';
import type { HostInterface, MacvtapIntent, MacvtapPathIntent, Surroundings } from '../ports/network.ts';
import type { Store } from '../ports/store.ts';
import type { HostStepPorts } from '../steps/host-network.ts';
import { makeHostStep, unmakeHostStep } from './host-step.ts';
import { restoreMacvtaps } from './restore-ports.ts';

export interface ParentDeviceDeps {
  readonly parent: string;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly store: Store;
  readonly network: HostStepPorts & Pick<Surroundings, 'parentUnfit'>;
  readonly faults: FaultPoints;
  readonly clock: Clock;
  readonly log: Log;
}

/** A parent that vanished, and guards that were swept away, are seen within this time. */
const LOOK_MS = 2_000;
const LOOK_LIMIT_MS = 30_000;

/**
 * A device of the host's that macvtaps are made on; nothing of it is changed.
 * When it vanishes the kernel takes them along: a guest that runs has lost its
 * interface for good, and its microVM says so.
 */
export class ParentDevice implements ParentNetwork {
  readonly parent: string;
  readonly #deps: ParentDeviceDeps;
  readonly #stop = new AbortController();
  #isMissing = false;
  #cancelLook: (() => void) | undefined;

  constructor(deps: ParentDeviceDeps) {
    this.#deps = deps;
    this.parent = deps.parent;
  }

  /** Begins to look after the macvtaps. */
  start(): void {
    this.#cancelLook ??= this.#deps.clock.after(LOOK_MS, () => void this.#look());
  }

  release(): void {
    this.#stop.abort(new Fault('cancelled', 'the daemon ends'));
    this.#cancelLook?.();
  }

  async ensure(signal: AbortSignal): Promise<void> {
    const wrong = await this.#deps.network.parentUnfit(this.parent, signal);
    if (wrong !== undefined) throw new Fault('tool', wrong, { reason: 'NetworkFailed' });
    const guards = { table: macvtapTableName(this.#deps.names) };
    await makeHostStep(this.#deps, 'macvtap-guards', guards, AbortSignal.any([this.#stop.signal, signal]));
  }

  async ensureService(signal: AbortSignal): Promise<void> {
    const limited = AbortSignal.any([this.#stop.signal, signal]);
    await this.ensure(limited);
    await this.#leaveOther(limited);
    const { names } = this.#deps;
    const path: MacvtapPathIntent = {
      table: macvtapTableName(names),
      device: macvtapServiceName(names),
      parent: this.parent,
      alias: `${aliasPrefix(names)}macvtap`,
      address: macvtapServiceAddress(names),
      routes: macvtapRoutingTable(names),
    };
    await makeHostStep(this.#deps, 'macvtap-path', path, limited);
  }

  /** The way to the service is beside the macvtaps on one parent: it moves when the last of them is gone. */
  async #leaveOther(signal: AbortSignal): Promise<void> {
    const { ledger } = this.#deps;
    const before = this.#path();
    if (!before || intentOf(before).parent === this.parent) return;
    const { parent } = intentOf(before);
    if (
      ledger.ofKind('macvtap-metadata').length > 0 &&
      ledger.ofKind('macvtap').some((e) => e.made && macvtapOf(e).parent === parent)
    )
      throw new Fault(
        'refused',
        `Metadata is still served to microVMs on parent ${parent}: delete them, or start flintlockd with --parent-iface ${parent}`,
        { reason: 'NetworkFailed', terminal: false },
      );
    await unmakeHostStep(this.#deps, before, signal);
  }

  #path(): LedgerEntry | undefined {
    return this.#deps.ledger.find(HOST_OWNER, 'macvtap-path', '');
  }

  async #look(): Promise<void> {
    const { network, ledger, log } = this.#deps;
    using time = new TimeLimit(this.#stop.signal, LOOK_LIMIT_MS);
    const signal = time.signal;
    try {
      const interfaces = await network.interfaces(signal);
      const isThere = interfaces.some(({ device }) => device === this.parent);
      if (isThere === this.#isMissing)
        if (isThere) log.info('the parent is back', { parent: this.parent });
        else log.warn('the parent is gone, and with it the interfaces of guests on it', { parent: this.parent });
      this.#isMissing = !isThere;
      this.#tellOfLost(interfaces);
      if (
        isThere &&
        ledger.find(HOST_OWNER, 'macvtap-guards', '')?.made &&
        !(await this.#isWhole(interfaces, signal))
      ) {
        await this.ensure(signal);
        if (this.#path()) await this.ensureService(signal);
        await restoreMacvtaps(this.#deps, this.#present(interfaces), signal);
        log.info('the macvtaps are guarded and served again', { parent: this.parent });
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) log.error('the macvtaps could not be looked after', { error: String(error) });
    }
    if (!this.#stop.signal.aborted) this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => void this.#look());
  }

  #present(interfaces: readonly HostInterface[]): ReadonlySet<string> {
    return new Set(interfaces.map(({ device }) => device));
  }

  /** Nobody can give a guest that runs another interface in its place; one that is started again has it anew. */
  #tellOfLost(interfaces: readonly HostInterface[]): void {
    const { ledger, store, clock } = this.#deps;
    const present = this.#present(interfaces);
    const entries = ledger.ofKind('macvtap').filter(({ made }) => made);
    const lost = entries.filter((entry) => !present.has(macvtapOf(entry).device));
    const owners = new Set(lost.map(({ owner }) => owner));
    for (const { owner } of entries)
      if (!owners.has(owner)) store.update(owner as Uid, (vm) => nicsFound(vm, clock.now()));
    for (const entry of lost) {
      const { parent } = macvtapOf(entry);
      const what = present.has(parent) ? `it was removed from parent ${parent}` : `its parent ${parent} is gone`;
      const message = `Interface "${entry.key}" is lost, ${what}: stop and start the microVM when it is back`;
      store.update(entry.owner as Uid, (vm) => nicLost(vm, message, clock.now()));
    }
  }

  async #isWhole(interfaces: readonly HostInterface[], signal: AbortSignal): Promise<boolean> {
    const { network, names } = this.#deps;
    const tables = await network.tables(signal);
    if (!tables.includes(`netdev ${macvtapTableName(names)}`)) return false;
    if (!this.#path()?.made) return true;
    const rules = await network.rules(signal);
    return (
      tables.includes(`inet ${macvtapTableName(names)}`) &&
      interfaces.some(({ device }) => device === macvtapServiceName(names)) &&
      rules.some(({ routes }) => routes === String(macvtapRoutingTable(names)))
    );
  }
}

const intentOf = (entry: LedgerEntry): MacvtapPathIntent => entry.intent as unknown as MacvtapPathIntent;
const macvtapOf = (entry: LedgerEntry): MacvtapIntent => entry.intent as unknown as MacvtapIntent;
