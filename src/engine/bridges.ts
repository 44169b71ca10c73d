import type { GuestNetwork } from '../ports/managed-network.ts';
import { AttachedBridge, type AttachedBridgeDeps } from './attached-bridge.ts';

/** The bridges of others that guests are plugged into: that of --bridge-name, and those that single interfaces ask for. */
export class Bridges {
  readonly #deps: Omit<AttachedBridgeDeps, 'bridge'>;
  readonly #byName = new Map<string, AttachedBridge>();
  #isStarted = false;

  constructor(deps: Omit<AttachedBridgeDeps, 'bridge'>) {
    this.#deps = deps;
  }

  at(bridge: string): GuestNetwork {
    const known = this.#byName.get(bridge);
    if (known) return known;
    const attached = new AttachedBridge({ ...this.#deps, bridge });
    this.#byName.set(bridge, attached);
    if (this.#isStarted) attached.start();
    return attached;
  }

  /**
   * Begins to look after the taps, also those that an earlier daemon plugged.
   * @param managed - the bridge of the managed network, which is looked after elsewhere
   */
  start(managed: string | undefined): void {
    this.#isStarted = true;
    for (const { intent } of this.#deps.ledger.ofKind('tap')) {
      const { bridge } = intent;
      if (bridge !== managed) this.at(bridge);
    }
    for (const attached of this.#byName.values()) attached.start();
  }

  release(): void {
    for (const attached of this.#byName.values()) attached.release();
  }
}
