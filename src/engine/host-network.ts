import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { type Cidr, formatCidr, gatewayOf } from '../domain/ipv4.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
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
import type { Clock } from '../ports/clock.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { ManagedNetwork } from '../ports/managed-network.ts';
import type { DhcpIntent, LeaseIntent, Surroundings } from '../ports/network.ts';
import type { Store } from '../ports/store.ts';
import type { HostStepIntents, HostStepKind, HostStepPorts } from '../steps/host-network.ts';
import { makeHostStep } from './host-step.ts';
import { restorePorts } from './restore-ports.ts';

export interface HostNetworkDeps {
  readonly cidr: Cidr;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: HostStepPorts & Pick<Surroundings, 'overlaps' | 'forwardingBlocked'>;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly faults: FaultPoints;
}

/** A DHCP server that died, or a bridge that vanished, is brought back within this time. */
const LOOK_MS = 2_000;
const LOOK_LIMIT_MS = 20_000;
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
  /** False while guests may lack guards, taps or ports that were swept away. */
  #isRestored = true;
  #cancelLook: (() => void) | undefined;
  #cancelWatch: (() => void) | undefined;

  constructor(deps: HostNetworkDeps) {
    this.#deps = deps;
    this.cidr = formatCidr(deps.cidr);
    this.bridge = bridgeName(deps.names);
    this.dhcpDirectory = networkDirectory(deps.names);
  }

  /** Many callers at once wait for one attempt; one that gives up leaves it to the others. */
  async ensure(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted(); // else nobody would hear how the attempt ends
    this.#ready ??= this.#make().catch((error: unknown) => {
      this.#ready = undefined; // the next caller tries again
      throw error;
    });
    await withAbort(this.#ready, signal);
  }

  /** Whether an earlier daemon made it: then it is looked after from the start. */
  isMade(): boolean {
    return this.#deps.ledger.find(HOST_OWNER, 'forwarding', '') !== undefined;
  }

  /** Lets go: what is made stays and works on. */
  release(): void {
    this.#stop.abort(new Fault('cancelled', 'the daemon ends'));
    this.#cancelLook?.();
    this.#cancelWatch?.();
  }

  async #make(): Promise<void> {
    if (!this.isMade() || !(await this.#isWhole())) this.#isRestored = false; // swept away while no daemon ran
    await this.#makeAll();
    await this.#restore().catch((error: unknown) => this.#sayUnmended(error)); // the next look tries again
    this.#stop.signal.throwIfAborted();
    this.#cancelWatch ??= this.#deps.network.onTaken(this.#dhcp(), () => void this.#readLeases());
    await this.#readLeases();
    this.#lookLater();
    void this.#sayBlocked();
  }

  async #makeAll(): Promise<void> {
    const { ledger, network } = this.#deps;
    const before = ledger.find(HOST_OWNER, 'forwarding', '');
    if (!ledger.find(HOST_OWNER, 'bridge', '')?.made) await this.#refuseOverlap();
    await this.#step('forwarding', before ? undefined : { was: await network.forwarding() });
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
  }

  /** Another daemon may have made its network since this one started. */
  async #refuseOverlap(): Promise<void> {
    const { network } = this.#deps;
    using time = new TimeLimit(this.#stop.signal, LOOK_LIMIT_MS);
    const signal = time.signal;
    const obstacle = await network.overlaps({ cidr: this.cidr, bridge: this.bridge }, signal);
    if (obstacle !== undefined)
      throw new Fault('refused', `Cannot make the network: ${obstacle}`, { reason: 'NetworkFailed', terminal: false });
  }

  /** Said once, when the network is made or taken over: it is not ours to change. */
  async #sayBlocked(): Promise<void> {
    const { network, log } = this.#deps;
    try {
      using time = new TimeLimit(this.#stop.signal, LOOK_LIMIT_MS);
      const signal = time.signal;
      const blocked = await network.forwardingBlocked(this.bridge, signal);
      if (blocked !== undefined) log.warn(blocked, { bridge: this.bridge });
    } catch (error) {
      if (!this.#stop.signal.aborted) log.warn('could not look for other firewalls', { error: String(error) });
    }
  }

  async #step<K extends HostStepKind>(kind: K, intent: HostStepIntents[K] | undefined): Promise<void> {
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

  #lookLater(): void {
    if (this.#stop.signal.aborted) return;
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { log } = this.#deps;
    try {
      const isWhole = await this.#isWhole();
      if (!isWhole || !this.#isRestored) {
        log.warn('the network is not whole and is mended', { bridge: this.bridge });
        this.#isRestored = false;
        await this.#makeAll();
        await this.#restore();
        log.info('the network is mended', { bridge: this.bridge });
      }
    } catch (error) {
      this.#sayUnmended(error);
    }
    // A change that nobody told of is seen all the same.
    if (!this.#stop.signal.aborted) await this.#readLeases();
    this.#lookLater();
  }

  #sayUnmended(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#deps.log.error('the network could not be mended', { error: String(error) });
  }

  /** Bridge, tables, routing rule and DHCP server: each may be swept away by another program of the host. */
  async #isWhole(): Promise<boolean> {
    const { network, names } = this.#deps;
    if (!(await network.dhcpRuns(this.#dhcp()))) return false;
    using time = new TimeLimit(this.#stop.signal, LOOK_LIMIT_MS);
    const limit = time.signal;
    const tables = await network.tables(limit);
    const rules = await network.rules(limit);
    const wanted = [
      ...['inet', 'bridge', 'ip'].map((family) => `${family} ${tableName(names)}`),
      ...['inet', 'bridge'].map((family) => `${family} ${metadataTableName(names)}`),
    ];
    return (
      wanted.every((table) => tables.includes(table)) &&
      rules.some(({ routes }) => routes === String(routingTable(names)))
    );
  }

  /** A bridge that vanished took no tap with it, but they hang on no bridge any more; a table took its elements with it. */
  async #restore(): Promise<void> {
    if (this.#isRestored) return;
    using time = new TimeLimit(this.#stop.signal, RESTORE_LIMIT_MS);
    await restorePorts(this.#deps, time.signal);
    this.#isRestored = true;
  }

  /** What the guests have taken goes into their records. */
  async #readLeases(): Promise<void> {
    const { network, ledger, store, log } = this.#deps;
    try {
      const taken = await network.taken(this.#dhcp());
      for (const entry of ledger.ofKind('lease')) {
        const { mac, address } = entry.intent as unknown as LeaseIntent;
        if (taken.some((t) => t.mac === mac && t.address === address))
          store.update(entry.owner as Uid, (vm) => addressed(vm, entry.key, [address]));
      }
    } catch (error) {
      log.error('the addresses that guests took could not be read', { error: String(error) });
    }
  }
}

async function withAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
