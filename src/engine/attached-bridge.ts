import { Fault } from '../domain/fault.ts';
import type { LedgerEntry, LedgerKind } from '../domain/ledger.ts';
import type { Uid } from '../domain/microvm.ts';
import { interfacePrefix, type Names, tableName } from '../domain/names.ts';
import type { Acts } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { GuestNetwork } from '../ports/managed-network.ts';
import type { Surroundings } from '../ports/network.ts';
import type { Flaw, NetworkNews, Wholeness } from '../ports/network-watch.ts';
import type { HostStepPorts } from '../steps/step.ts';
import { makeHostStep } from './host-step.ts';
import { Lookout } from './lookout.ts';
import { Mender } from './mender.ts';
import { type NetworkHealth, notAsMade, type Trouble } from './network-health.ts';
import { restorePorts } from './restore-ports.ts';

export interface AttachedBridgeDeps {
  readonly bridge: string;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: HostStepPorts & Wholeness & Pick<Surroundings, 'bridgeMissing'>;
  readonly news: NetworkNews;
  readonly health: NetworkHealth;
  readonly clock: Clock;
  readonly log: Log;
  readonly acts: Acts;
  /** What each limit of time is multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

/**
 * A bridge that somebody else made: taps are plugged into it, and nothing on
 * it is changed. Who removes and makes it anew finds the taps plugged again.
 */
export class AttachedBridge implements GuestNetwork {
  readonly bridge: string;
  readonly #deps: AttachedBridgeDeps;
  readonly #stop = new AbortController();
  readonly #lookout: Lookout;
  readonly #mender: Mender;
  #isMissing = false;

  constructor(deps: AttachedBridgeDeps) {
    this.#deps = deps;
    this.bridge = deps.bridge;
    const { clock, log, news } = deps;
    this.#mender = new Mender({ what: 'what taps have', where: { bridge: this.bridge }, clock, log });
    const look = (signal: AbortSignal): Promise<void> => this.#look(signal);
    const onFailure = (error: unknown): void => log.error('the taps could not be looked after', { error });
    this.#lookout = new Lookout({ clock, news, look, onFailure, patience: deps.patience });
  }

  /** Begins to look after the taps. */
  start(): void {
    this.#lookout.start();
  }

  release(): void {
    const reason = new Fault('cancelled', 'the daemon ends');
    this.#stop.abort(reason);
    this.#lookout.release(reason);
  }

  async ensure(signal: AbortSignal): Promise<void> {
    const { network } = this.#deps;
    const wrong = await network.bridgeMissing(this.bridge, signal);
    if (wrong !== undefined) throw new Fault('tool', wrong, { reason: 'NetworkFailed' });
    await this.#guards(signal);
  }

  async #guards(signal: AbortSignal): Promise<void> {
    const { names } = this.#deps;
    const guards = { table: tableName(names), prefix: interfacePrefix(names) };
    await makeHostStep(this.#deps, 'guards', guards, AbortSignal.any([this.#stop.signal, signal]));
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { network, log } = this.#deps;
    const interfaces = await network.interfaces(signal);
    const isThere = interfaces.some(({ device, kind }) => device === this.bridge && kind === 'bridge');
    if (isThere === this.#isMissing)
      if (isThere) log.info('the bridge is back', { bridge: this.bridge });
      else log.warn('the bridge is gone: guests reach nothing until it is back', { bridge: this.bridge });
    this.#isMissing = !isThere;
    const find = (): Promise<readonly Flaw[]> => this.#flaws(signal);
    const left = await this.#mender.look(find, () => this.#remake(isThere, signal), signal);
    this.#tell(isThere, left);
  }

  #taps(): readonly LedgerEntry<'tap'>[] {
    return this.#deps.ledger.ofKind('tap').filter(({ made, intent }) => made && intent.bridge === this.bridge);
  }

  async #flaws(signal: AbortSignal): Promise<readonly Flaw[]> {
    const { network, ledger } = this.#deps;
    const entries = (): readonly LedgerEntry[] => LOOKED_AT.flatMap((kind) => ledger.ofKind(kind));
    const devices = new Set(this.#taps().map(({ intent }) => intent.device));
    const isAsked = (entry: LedgerEntry): boolean => {
      switch (entry.kind) {
        case 'guards':
          return true;
        case 'tap':
          return entry.intent.bridge === this.bridge;
        case 'guard':
          return devices.has(entry.intent.device);
        default:
          return false;
      }
    };
    const isWhole = (): boolean => ledger.unreadable().length === 0;
    return network.flaws({ entries, isWhole, isAsked }, signal);
  }

  /** What guards the taps does not need the bridge. */
  async #remake(isThere: boolean, signal: AbortSignal): Promise<void> {
    const { network, names } = this.#deps;
    if (isThere) await this.ensure(signal);
    else await this.#guards(signal);
    await network.remember([`bridge ${tableName(names)}`], signal);
    await restorePorts(this.#deps, 'bridge', signal, (bridge) => bridge === this.bridge);
  }

  #tell(isThere: boolean, left: readonly Flaw[]): void {
    const { health } = this.#deps;
    const uids = new Set(this.#taps().map(({ owner }) => owner.uid));
    const troubles = new Map<Uid, Trouble>();
    for (const uid of uids) {
      const its = left.filter(({ owner }) => owner === undefined || owner === uid);
      const message = `The bridge ${this.bridge} is gone: make it again, and the tap is plugged into it`;
      if (!isThere) troubles.set(uid, { reason: 'NetworkFailed', message });
      else if (its.length > 0) troubles.set(uid, notAsMade(its));
    }
    health.tell(`bridge ${this.bridge}`, uids, troubles);
  }
}

/** Whose elements may be in the table of guards, who has a tap, and who has it open. */
const LOOKED_AT: readonly LedgerKind[] = ['guards', 'guard', 'tap', 'vmm'];
