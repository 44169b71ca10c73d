import { Fault } from '../domain/fault.ts';
import { HOST_OWNER, type LedgerEntry, type LedgerKind } from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import {
  aliasPrefix,
  macvtapRoutingTable,
  macvtapServiceAddress,
  macvtapServiceName,
  macvtapTableName,
  type Names,
} from '../domain/names.ts';
import type { Acts } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { ParentNetwork } from '../ports/managed-network.ts';
import type { HostInterface, MacvtapPathIntent, Surroundings } from '../ports/network.ts';
import type { Flaw, NetworkNews, Wholeness } from '../ports/network-watch.ts';
import type { HostStepPorts } from '../steps/step.ts';
import { makeHostStep, unmakeHostStep } from './host-step.ts';
import { Lookout } from './lookout.ts';
import { Mender } from './mender.ts';
import type { NetworkHealth, Trouble } from './network-health.ts';
import { restorePorts } from './restore-ports.ts';

export interface ParentDeviceDeps {
  readonly parent: string;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: HostStepPorts & Wholeness & Pick<Surroundings, 'parentUnfit'>;
  readonly news: NetworkNews;
  readonly health: NetworkHealth;
  readonly acts: Acts;
  readonly clock: Clock;
  readonly log: Log;
  /** What each limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

/**
 * A device of the host's that macvtaps are made on; nothing of it is changed.
 * When it vanishes the kernel takes them along: a guest that runs has lost its
 * interface for good, and its microVM says so.
 */
export class ParentDevice implements ParentNetwork {
  readonly parent: string;
  readonly #deps: ParentDeviceDeps;
  readonly #stop = new AbortController();
  readonly #lookout: Lookout;
  readonly #mender: Mender;
  #isMissing = false;

  constructor(deps: ParentDeviceDeps) {
    this.#deps = deps;
    this.parent = deps.parent;
    const { clock, log, news } = deps;
    this.#mender = new Mender({ what: 'what macvtaps have', where: { parent: this.parent }, clock, log });
    const look = (signal: AbortSignal): Promise<void> => this.#look(signal);
    const onFailure = (error: unknown): void => log.error('the macvtaps could not be looked after', { error });
    this.#lookout = new Lookout({ clock, news, look, onFailure, patience: deps.patience });
  }

  /** Begins to look after the macvtaps. */
  start(): void {
    this.#lookout.start();
  }

  release(): void {
    const reason = new Fault('cancelled', 'the daemon ends');
    this.#stop.abort(reason);
    this.#lookout.release(reason);
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
    if (!before || before.intent.parent === this.parent) return;
    const { parent } = before.intent;
    if (
      ledger.ofKind('macvtap-metadata').length > 0 &&
      ledger.ofKind('macvtap').some(({ made, intent }) => made && intent.parent === parent)
    )
      throw new Fault(
        'refused',
        `Metadata is still served to microVMs on parent ${parent}: delete them, or start flintlockd with --parent-iface ${parent}`,
        { reason: 'NetworkFailed', terminal: false },
      );
    await unmakeHostStep(this.#deps, before, signal);
  }

  #path(): LedgerEntry<'macvtap-path'> | undefined {
    return this.#deps.ledger.find(HOST_OWNER, 'macvtap-path', '');
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { network, ledger, log } = this.#deps;
    const interfaces = await network.interfaces(signal);
    const isThere = interfaces.some(({ device }) => device === this.parent);
    if (isThere === this.#isMissing)
      if (isThere) log.info('the parent is back', { parent: this.parent });
      else log.warn('the parent is gone, and with it the interfaces of guests on it', { parent: this.parent });
    this.#isMissing = !isThere;
    const isMade = isThere && ledger.find(HOST_OWNER, 'macvtap-guards', '')?.made;
    const find = (): Promise<readonly Flaw[]> => this.#flaws(signal);
    const remake = () => this.#remake(this.#present(interfaces), signal);
    this.#tell(interfaces, isMade ? await this.#mender.look(find, remake, signal) : []);
  }

  #present(interfaces: readonly HostInterface[]): ReadonlySet<string> {
    return new Set(interfaces.map(({ device }) => device));
  }

  #flaws(signal: AbortSignal): Promise<readonly Flaw[]> {
    const { network, ledger } = this.#deps;
    const entries = (): readonly LedgerEntry[] => LOOKED_AT.flatMap((kind) => ledger.ofKind(kind));
    const isWhole = (): boolean => ledger.unreadable().length === 0;
    return network.flaws({ entries, isWhole, isAsked: () => true }, signal);
  }

  async #remake(present: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { network, names } = this.#deps;
    await this.ensure(signal);
    if (this.#path()) await this.ensureService(signal);
    await restorePorts(this.#deps, 'parent', signal, (device) => present.has(device));
    await network.remember(
      ['netdev', 'inet'].map((family) => `${family} ${macvtapTableName(names)}`),
      signal,
    );
  }

  /** Nobody can give a guest that runs another interface in its place; one that is started again has it anew. */
  #tell(interfaces: readonly HostInterface[], left: readonly Flaw[]): void {
    const { ledger, health } = this.#deps;
    const present = this.#present(interfaces);
    const entries = ledger.ofKind('macvtap').filter(({ made }) => made);
    const troubles = new Map<Uid, Trouble>();
    for (const { owner } of entries) {
      const words = left.flatMap((flaw) => (flaw.owner === undefined || flaw.owner === owner.uid ? [flaw.what] : []));
      if (words.length > 0)
        troubles.set(owner.uid, { reason: 'NetworkFailed', message: `Not as it was made: ${words.join('; ')}` });
    }
    for (const entry of entries.filter(({ intent }) => !present.has(intent.device))) {
      const { parent } = entry.intent;
      const what = present.has(parent) ? `it was removed from parent ${parent}` : `its parent ${parent} is gone`;
      const message = `Interface "${entry.key}" is lost, ${what}: stop and start the microVM when it is back`;
      troubles.set(entry.owner.uid, { reason: 'NetworkFailed', message });
    }
    health.tell('parent', new Set(entries.map(({ owner }) => owner.uid)), troubles);
  }
}

/** What is compared with the host. */
const LOOKED_AT: readonly LedgerKind[] = ['macvtap-guards', 'macvtap-path', 'macvtap', 'macvtap-metadata'];
