import { errorMessage } from '../base/error-text.ts';
import { orAborted } from '../base/or-aborted.ts';
import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { type Cidr, formatCidr, gatewayOf } from '../domain/ipv4.ts';
import {
  HOST_OWNER,
  type HostStepKind,
  type IntentOf,
  type LedgerEntry,
  type LedgerKind,
  unreadable,
} from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import {
  aliasPrefix,
  bridgeName,
  interfacePrefix,
  metadataTableName,
  type Names,
  networkDirectory,
  routingTable,
  tableName,
} from '../domain/names.ts';
import { addressed } from '../domain/transitions.ts';
import type { Acts } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { ManagedNetwork } from '../ports/managed-network.ts';
import type { DhcpIntent, Surroundings } from '../ports/network.ts';
import type { Flaw, NetworkNews, Wholeness } from '../ports/network-watch.ts';
import type { Store } from '../ports/store.ts';
import type { HostStepPorts } from '../steps/step.ts';
import { makeHostStep } from './host-step.ts';
import { Lookout } from './lookout.ts';
import { Mender } from './mender.ts';
import { type NetworkHealth, notAsMade, type Trouble } from './network-health.ts';
import { probeIntent } from './probe-intent.ts';
import { restorePorts } from './restore-ports.ts';

export interface HostNetworkDeps {
  readonly cidr: Cidr;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: HostStepPorts & Wholeness & Pick<Surroundings, 'overlaps' | 'forwardingBlocked'>;
  readonly news: NetworkNews;
  readonly health: NetworkHealth;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly acts: Acts;
  /** What each limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

const LOOK_LIMIT_MS = 120_000;
const FORWARDING = 'setting net/ipv4/ip_forward';
/** What is compared with the host, and what of it others look after: see `parent-device.ts`. */
const OTHERS: readonly LedgerKind[] = ['macvtap-guards', 'macvtap-path', 'macvtap', 'macvtap-metadata'];
const LOOKED_AT: readonly LedgerKind[] = [
  ...(['forwarding', 'bridge', 'firewall', 'guards', 'publishing', 'metadata-path', 'probe'] as const),
  ...(['lease', 'guard', 'tap', 'publish', 'metadata', 'macvtap-metadata', 'vmm'] as const),
];
/** Some 20 ms for each microVM, of which a host may have hundreds. */
const RESTORE_LIMIT_MS = 120_000;

/** The managed network: made when first needed, written down like everything else, adopted by the next daemon. */
export class HostNetwork implements ManagedNetwork {
  readonly cidr: string;
  readonly bridge: string;
  readonly dhcpDirectory: string;
  readonly #deps: HostNetworkDeps;
  readonly #stop = new AbortController();
  #ready: Promise<void> | undefined;
  /** What each lease was when its record was last told of it, by the microVM and its interface. */
  #told = new Map<string, string>();
  /** False while guests may lack guards, taps or ports that were swept away. */
  #isRestored = true;
  readonly #lookout: Lookout;
  readonly #mender: Mender;
  #cancelWatch: (() => void) | undefined;

  constructor(deps: HostNetworkDeps) {
    this.#deps = deps;
    this.cidr = formatCidr(deps.cidr);
    this.bridge = bridgeName(deps.names);
    this.dhcpDirectory = networkDirectory(deps.names);
    const { clock, log, news } = deps;
    this.#mender = new Mender({ what: 'the network', where: { bridge: this.bridge }, clock, log });
    const look = (): Promise<void> => this.#look();
    const { patience } = deps;
    this.#lookout = new Lookout({ clock, news, look, patience, onFailure: (error) => this.#sayUnmended(error) });
  }

  /** Looks after what an earlier daemon made, whatever fails first; what the ledger cannot tell is left alone. */
  start(): void {
    if (this.isMade()) this.#lookAfter();
  }

  /** Many callers at once wait for one attempt; one that gives up leaves it to the others. */
  async ensure(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted(); // else nobody would hear how the attempt ends
    this.#ready ??= this.#make().catch((error: unknown) => {
      this.#ready = undefined; // the next caller tries again
      throw error;
    });
    await orAborted(this.#ready, signal);
  }

  /** Whether an earlier daemon made it: then it is looked after from the start. */
  isMade(): boolean {
    const { ledger } = this.#deps;
    return ledger.unreadable(HOST_OWNER).length === 0 && ledger.find(HOST_OWNER, 'forwarding', '') !== undefined;
  }

  /** Lets go: what is made stays and works on. */
  release(): void {
    const reason = new Fault('cancelled', 'the daemon ends');
    this.#stop.abort(reason);
    this.#lookout.release(reason);
    this.#cancelWatch?.();
  }

  #lookAfter(): void {
    if (!this.#stop.signal.aborted) this.#lookout.start();
  }

  async #make(): Promise<void> {
    const [unread] = this.#deps.ledger.unreadable(HOST_OWNER);
    if (unread) throw unreadable(unread);
    if (!this.isMade() || (await this.#flaws()).length > 0) this.#isRestored = false; // swept away while no daemon ran
    try {
      await this.#makeAll();
    } finally {
      if (this.isMade()) this.#lookAfter(); // what is made in part is looked after, too
    }
    await this.#restore().catch((error: unknown) => this.#sayUnmended(error)); // the next look tries again
    this.#stop.signal.throwIfAborted();
    this.#watchLeases();
    await this.#readLeases();
    void this.#sayBlocked();
  }

  /** They are read at each look, too: without this they are told some seconds later. */
  #watchLeases(): void {
    const { network, log } = this.#deps;
    try {
      this.#cancelWatch ??= network.onTaken(this.#dhcp(), () => void this.#readLeases());
    } catch (error) {
      log.warn('the DHCP server’s file is not watched, but looked at from time to time', { error });
    }
  }

  async #makeAll(): Promise<void> {
    const { ledger, network } = this.#deps;
    const before = ledger.find(HOST_OWNER, 'forwarding', '');
    if (!ledger.find(HOST_OWNER, 'bridge', '')?.made) await this.#refuseOverlap();
    // What the operator wants otherwise, and has said often enough, is not made again with the rest.
    if (!this.#mender.respects(FORWARDING))
      await this.#step('forwarding', before?.intent ?? { was: await network.forwarding() });
    await this.#step('bridge', {
      bridge: this.bridge,
      alias: `${aliasPrefix(this.#deps.names)}bridge`,
      address: `${gatewayOf(this.#deps.cidr)}/${this.#deps.cidr.prefix}`,
    });
    await this.#step('firewall', { table: tableName(this.#deps.names), bridge: this.bridge, cidr: this.cidr });
    await this.#step('guards', { table: tableName(this.#deps.names), prefix: interfacePrefix(this.#deps.names) });
    await this.#step('publishing', { table: tableName(this.#deps.names), bridge: this.bridge, cidr: this.cidr });
    await this.#step('metadata-path', {
      table: metadataTableName(this.#deps.names),
      prefix: interfacePrefix(this.#deps.names),
      bridge: this.bridge,
      address: gatewayOf(this.#deps.cidr),
      routes: routingTable(this.#deps.names),
    });
    await this.#step('dhcp', this.#dhcp());
    const probe = ledger.find(HOST_OWNER, 'probe', '')?.intent ?? probeIntent(this.#deps);
    if (probe) await this.#step('probe', probe);
    using time = this.#limit(LOOK_LIMIT_MS);
    await network.remember(this.#tables(), time.signal);
  }

  #limit(ms: number): TimeLimit {
    return new TimeLimit(this.#stop.signal, ms * (this.#deps.patience ?? 1));
  }

  #tables(): readonly string[] {
    const { names } = this.#deps;
    return [
      ...['inet', 'bridge', 'ip'].map((family) => `${family} ${tableName(names)}`),
      ...['inet', 'bridge'].map((family) => `${family} ${metadataTableName(names)}`),
    ];
  }

  /** Another daemon may have made its network since this one started. */
  async #refuseOverlap(): Promise<void> {
    const { network } = this.#deps;
    using time = this.#limit(LOOK_LIMIT_MS);
    const signal = time.signal;
    const obstacle = await network.overlaps({ cidr: this.cidr, bridge: this.bridge }, signal);
    if (obstacle !== undefined)
      throw new Fault('refused', `Cannot make the network: ${obstacle}`, { reason: 'NetworkFailed', terminal: false });
  }

  /** Said once, when the network is made or taken over: it is not ours to change. */
  async #sayBlocked(): Promise<void> {
    const { network, log } = this.#deps;
    try {
      using time = this.#limit(LOOK_LIMIT_MS);
      const signal = time.signal;
      const blocked = await network.forwardingBlocked(this.bridge, signal);
      if (blocked !== undefined) log.warn(blocked, { bridge: this.bridge });
    } catch (error) {
      if (!this.#stop.signal.aborted) log.warn('could not look for other firewalls', { error });
    }
  }

  async #step<K extends HostStepKind>(kind: K, intent: IntentOf<K>): Promise<void> {
    await makeHostStep(this.#deps, kind, intent, this.#stop.signal);
  }

  #dhcp(): DhcpIntent {
    return {
      directory: this.dhcpDirectory,
      bridge: this.bridge,
      cidr: this.cidr,
      gateway: gatewayOf(this.#deps.cidr),
    };
  }

  async #look(): Promise<void> {
    try {
      await this.#ready; // while it is being made there is nothing to mend
      const remake = async (): Promise<void> => {
        this.#isRestored = false;
        await this.#makeAll();
        await this.#restore();
      };
      using time = this.#limit(RESTORE_LIMIT_MS);
      const left = await this.#mender.look(() => this.#flaws(), remake, time.signal);
      await this.#restore();
      this.#tell(left);
    } catch (error) {
      this.#sayUnmended(error);
    }
    // A change that nobody told of is seen all the same.
    if (!this.#stop.signal.aborted) await this.#readLeases();
  }

  #sayUnmended(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#deps.log.error('the network could not be mended', { error });
    this.#tell([{ thing: 'all', what: errorMessage(error) }]);
  }

  /** What is not as it was made goes into the records of those whom it concerns. */
  #tell(left: readonly Flaw[]): void {
    const { ledger, health, log } = this.#deps;
    const uids = new Set<Uid>();
    for (const { owner, made, intent } of ledger.ofKind('tap'))
      if (made && intent.bridge === this.bridge) uids.add(owner.uid);
    const troubles = new Map<Uid, Trouble>();
    for (const uid of uids) {
      const its = left.filter(({ owner }) => owner === undefined || owner === uid);
      if (its.length > 0) troubles.set(uid, notAsMade(its));
    }
    try {
      health.tell('network', uids, troubles);
    } catch (error) {
      log.error('what is wrong with the network could not be recorded', { error });
    }
  }

  /** Each of bridge, taps, tables, routing rule, settings and DHCP server may be changed by another program of the host. */
  async #flaws(): Promise<readonly Flaw[]> {
    const { network, ledger } = this.#deps;
    const runs = await network.dhcpRuns(this.#dhcp());
    const dead: Flaw = { thing: 'dhcp', what: 'the DHCP server does not run, or serves another bridge' };
    using time = this.#limit(LOOK_LIMIT_MS);
    const entries = (): readonly LedgerEntry[] => LOOKED_AT.flatMap((kind) => ledger.ofKind(kind));
    const isWhole = (): boolean => ledger.unreadable().length === 0;
    const isAsked = ({ kind, intent }: LedgerEntry): boolean =>
      !OTHERS.includes(kind) && (kind !== 'tap' || intent.bridge === this.bridge);
    return [...(runs ? [] : [dead]), ...(await network.flaws({ entries, isWhole, isAsked }, time.signal))];
  }

  /** A bridge that vanished took no tap with it, but they hang on no bridge any more; a table took its elements with it. */
  async #restore(): Promise<void> {
    if (this.#isRestored) return;
    using time = this.#limit(RESTORE_LIMIT_MS);
    await restorePorts(this.#deps, 'bridge', time.signal);
    this.#isRestored = true;
  }

  /** What the guests have taken goes into their records. */
  async #readLeases(): Promise<void> {
    const { network, ledger, store, log } = this.#deps;
    try {
      const taken = new Set((await network.taken(this.#dhcp())).map(({ mac, address }) => `${mac} ${address}`));
      const told = new Map<string, string>();
      for (const { owner, key, intent } of ledger.ofKind('lease')) {
        const { mac, address } = intent;
        const { uid } = owner;
        if (!taken.has(`${mac} ${address}`)) continue;
        let version = store.versionOf(uid);
        // A record that was told, and was not written since, says so still: it is not read for that.
        if (this.#told.get(`${uid} ${key}`) !== `${version} ${address}`)
          version = store.update(uid, (vm) => addressed(vm, key, [address]))?.version;
        told.set(`${uid} ${key}`, `${version} ${address}`);
      }
      this.#told = told;
    } catch (error) {
      log.error('the addresses that guests took could not be read', { error });
    }
  }
}
