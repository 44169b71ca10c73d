import { TimeLimit } from '../base/time-limit.ts';
import { Fault } from '../domain/fault.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import { interfacePrefix, type Names, tableName } from '../domain/names.ts';
import type { Clock } from '../ports/clock.ts';
import type { FaultPoints } from '../ports/fault-points.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { GuestNetwork } from '../ports/managed-network.ts';
import type { Surroundings, TapIntent } from '../ports/network.ts';
import type { HostStepPorts } from '../steps/host-network.ts';
import { makeHostStep } from './host-step.ts';
import { restorePorts } from './restore-ports.ts';

export interface AttachedBridgeDeps {
  readonly bridge: string;
  readonly names: Names;
  readonly ledger: Ledger;
  readonly network: HostStepPorts & Pick<Surroundings, 'bridgeMissing'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly faults: FaultPoints;
}

/** Taps hang on the bridge again within this time after it came back. */
const LOOK_MS = 2_000;
const LOOK_LIMIT_MS = 30_000;

/**
 * A bridge that somebody else made: taps are plugged into it, and nothing on
 * it is changed. Who removes and makes it anew finds the taps plugged again.
 */
export class AttachedBridge implements GuestNetwork {
  readonly bridge: string;
  readonly #deps: AttachedBridgeDeps;
  readonly #stop = new AbortController();
  #isMissing = false;
  #cancelLook: (() => void) | undefined;

  constructor(deps: AttachedBridgeDeps) {
    this.#deps = deps;
    this.bridge = deps.bridge;
  }

  /** Begins to look after the taps. */
  start(): void {
    this.#cancelLook ??= this.#deps.clock.after(LOOK_MS, () => void this.#look());
  }

  release(): void {
    this.#stop.abort(new Fault('cancelled', 'the daemon ends'));
    this.#cancelLook?.();
  }

  async ensure(signal: AbortSignal): Promise<void> {
    const { network, names } = this.#deps;
    const wrong = await network.bridgeMissing(this.bridge, signal);
    if (wrong !== undefined) throw new Fault('tool', wrong, { reason: 'NetworkFailed' });
    const guards = { table: tableName(names), prefix: interfacePrefix(names) };
    await makeHostStep(this.#deps, 'guards', guards, AbortSignal.any([this.#stop.signal, signal]));
  }

  async #look(): Promise<void> {
    const { ledger, network, names, log } = this.#deps;
    using time = new TimeLimit(this.#stop.signal, LOOK_LIMIT_MS);
    const signal = time.signal;
    try {
      const interfaces = await network.interfaces(signal);
      const isThere = interfaces.some(({ device, kind }) => device === this.bridge && kind === 'bridge');
      if (isThere === this.#isMissing)
        if (isThere) log.info('the bridge is back', { bridge: this.bridge });
        else log.warn('the bridge is gone: guests reach nothing until it is back', { bridge: this.bridge });
      this.#isMissing = !isThere;
      const isUnplugged = ledger.ofKind('tap').some(({ made, intent }) => {
        const tap = intent as unknown as TapIntent;
        return made && tap.bridge === this.bridge && interfaces.some((i) => i.device === tap.device && i.master === '');
      });
      const guards = ledger.find(HOST_OWNER, 'guards', '');
      const isUnguarded = guards?.made && !(await network.tables(signal)).includes(`bridge ${tableName(names)}`);
      if ((isThere && isUnplugged) || isUnguarded) {
        await this.ensure(signal);
        await restorePorts(this.#deps, signal);
        log.info('the taps are plugged and guarded again', { bridge: this.bridge });
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) log.error('the taps could not be looked after', { error: String(error) });
    }
    if (!this.#stop.signal.aborted) this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => void this.#look());
  }
}
