import { Fault } from '../domain/fault.ts';
import { type Cidr, formatCidr, gatewayOf } from '../domain/ipv4.ts';
import { HOST_OWNER, type Json } from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import { aliasPrefix, bridgeName, interfacePrefix, type Names, networkDirectory, tableName } from '../domain/names.ts';
import { addressed } from '../domain/transitions.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { ManagedNetwork } from '../ports/managed-network.ts';
import type { DhcpIntent, LeaseIntent, Network, PortGuards, TapIntent } from '../ports/network.ts';
import type { Store } from '../ports/store.ts';
import { type HostStepIntents, type HostStepKind, hostSteps } from '../steps/host-network.ts';

export interface HostNetworkDeps {
  readonly cidr: Cidr;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: Network & PortGuards;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

/** A DHCP server that died, or a bridge that vanished, is brought back within this time. */
const LOOK_MS = 2_000;

/** The managed network: made when first needed, written down like everything else, adopted by the next daemon. */
export class HostNetwork implements ManagedNetwork {
  readonly cidr: string;
  readonly bridge: string;
  readonly dhcpDirectory: string;
  readonly #deps: HostNetworkDeps;
  readonly #stop = new AbortController();
  #ready: Promise<void> | undefined;
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
    this.#ready ??= this.#make().catch((error: unknown) => {
      this.#ready = undefined; // the next caller tries again
      throw error;
    });
    await withAbort(this.#ready, signal);
  }

  /** Whether an earlier daemon made it: then it is looked after from the start. */
  isMade(): boolean {
    return this.#deps.ledger.of(HOST_OWNER).length > 0;
  }

  /** Lets go: what is made stays and works on. */
  release(): void {
    this.#stop.abort(new Fault('cancelled', 'the daemon ends'));
    this.#cancelLook?.();
    this.#cancelWatch?.();
  }

  async #make(): Promise<void> {
    await this.#makeAll();
    this.#cancelWatch ??= this.#deps.network.onTaken(this.#dhcp(), () => void this.#readLeases());
    await this.#readLeases();
    this.#lookLater();
  }

  async #makeAll(): Promise<void> {
    const { ledger, network } = this.#deps;
    const before = ledger.find(HOST_OWNER, 'forwarding', '');
    await this.#step('forwarding', before ? undefined : { was: await network.forwarding() });
    await this.#step('bridge', {
      bridge: this.bridge,
      alias: `${aliasPrefix(this.#deps.names)}bridge`,
      address: `${gatewayOf(this.#deps.cidr)}/${this.#deps.cidr.prefix}`,
    });
    await this.#step('firewall', { table: tableName(this.#deps.names), bridge: this.bridge, cidr: this.cidr });
    await this.#step('guards', { table: tableName(this.#deps.names), prefix: interfacePrefix(this.#deps.names) });
    await this.#step('dhcp', this.#dhcp());
  }

  async #step<K extends HostStepKind>(kind: K, intent: HostStepIntents[K] | undefined): Promise<void> {
    const { ledger, network } = this.#deps;
    const entry = ledger.intend(HOST_OWNER, kind, '', (intent ?? null) as Json);
    const { make, timeoutMs } = hostSteps[kind];
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)]);
    try {
      // Also when it is marked: another boot may have swept it away, and twice is the same as once.
      await make(entry.intent as unknown as HostStepIntents[K], network, signal);
    } catch (cause) {
      if (cause instanceof Fault || !signal.aborted || this.#stop.signal.aborted) throw cause;
      throw new Fault('timeout', `The network's ${kind} was not made in ${timeoutMs / 1000} s`, {
        cause,
        reason: 'NetworkFailed',
      });
    }
    if (!entry.made) ledger.made(entry, null);
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
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { network, log } = this.#deps;
    try {
      if (!(await network.dhcpRuns(this.#dhcp()))) {
        log.warn('the network is not whole and is mended', { bridge: this.bridge });
        await this.#makeAll();
        await this.#plugTaps();
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) log.error('the network could not be mended', { error: String(error) });
    }
    if (!this.#stop.signal.aborted) this.#lookLater();
  }

  /** A bridge that vanished took no tap with it, but they hang on no bridge any more. */
  async #plugTaps(): Promise<void> {
    const { ledger, network } = this.#deps;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(hostSteps.bridge.timeoutMs)]);
    for (const entry of ledger.ofKind('tap'))
      if (entry.made) await network.addTap(entry.intent as unknown as TapIntent, signal);
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

/** Removes the network, newest first. Used with no microVM left. */
export async function teardownNetwork(
  ledger: Ledger,
  network: Network & PortGuards,
  signal: AbortSignal,
): Promise<void> {
  for (const entry of ledger.of(HOST_OWNER).toReversed()) {
    const def = hostSteps[entry.kind as HostStepKind];
    const limited = AbortSignal.any([signal, AbortSignal.timeout(def.timeoutMs)]);
    await def.unmake(entry.intent as never, network, limited);
    ledger.strike(entry);
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
