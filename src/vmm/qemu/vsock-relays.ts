import { orAborted } from '../../base/or-aborted.ts';
import { TimeLimit } from '../../base/time-limit.ts';
import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';
import type { Converse, Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { dialVsock } from '../supervisor/hybrid-vsock.ts';
import { guestCid, vsockSocket } from './layout.ts';
import { relayProgram } from './vsock-relay-program.ts';

type Guest = Pick<VmmConfig, 'runDirectory' | 'user'>;

export interface VsockRelaysDeps {
  readonly converse: Converse;
  readonly files: Pick<Files, 'pinSocket'>;
  /** Default: what lets through to a guest's vsock. */
  readonly program?: string;
}

interface Relay {
  readonly ready: Promise<void>;
  end(): void;
}

/**
 * What lets the daemon through to the vsocks of QEMU's guests, which Node has no sockets for: a small process for each guest whose agent was
 * asked for, which ends with the guest's, or with the daemon, and is started again by the next that asks.
 */
export class VsockRelays {
  readonly #deps: VsockRelaysDeps;
  readonly #relays = new Map<string, Relay>();

  constructor(deps: VsockRelaysDeps) {
    this.#deps = deps;
  }

  /** @throws as `dialVsock`; Fault `tool` when there is nothing that lets through */
  async dial(guest: Guest, port: number, signal: AbortSignal): Promise<Channel> {
    const path = vsockSocket(guest);
    let relay = this.#relays.get(path);
    if (!relay) {
      relay = this.#begin(path, guest);
      this.#relays.set(path, relay);
    }
    using limit = new TimeLimit(signal, READY_MS);
    await orAborted(relay.ready, limit.signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw limit.isLate ? cannot(`perl did not begin in ${READY_MS / 1000} s: is this host too busy?`) : error;
    });
    return dialVsock({ path, user: process.getuid?.() ?? 0 }, port, this.#deps.files, signal);
  }

  /** All that goes by it ends. There is none: nothing happens. */
  end(guest: Pick<VmmConfig, 'runDirectory'>): void {
    const path = vsockSocket(guest);
    this.#relays.get(path)?.end();
    this.#relays.delete(path);
  }

  #begin(path: string, guest: Guest): Relay {
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    let said = '';
    const stop = new AbortController();
    const { ended } = this.#deps.converse(
      ['perl', '-e', this.#deps.program ?? relayProgram(), path, String(guestCid(guest))],
      {
        signal: stop.signal,
        onText: (text) => {
          said = (said + text).slice(-MOST_SAID);
          if (said.startsWith('ready\n')) resolve();
        },
      },
    );
    const relay: Relay = { ready, end: () => stop.abort() };
    void ended.then(() => {
      if (this.#relays.get(path) === relay) this.#relays.delete(path);
      const why = said.trim().replace(/^flintlock: /, '') || 'perl did not run, or was ended';
      reject(cannot(why));
    });
    ready.catch(() => undefined); // told to who waits for it
    return relay;
  }
}

/** A tenth of a second on an idle host. */
const READY_MS = 10_000;

const cannot = (why: string): Fault => new Fault('tool', `Cannot let through to the guest's vsock: ${why}`);

/** What goes wrong later is told by the connections. */
const MOST_SAID = 1_024;
