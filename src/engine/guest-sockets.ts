import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import { agentSocketDirectory, agentSocketPath, type Names } from '../domain/names.ts';
import type { ServeAgentSocket } from '../ports/agent-sockets.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { Files } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

export interface GuestSocketsDeps {
  readonly names: Names;
  readonly store: Pick<Store, 'get'>;
  readonly files: Pick<Files, 'makeDirectory' | 'remove' | 'list'>;
  readonly log: Log;
  readonly serve: ServeAgentSocket;
  /** While it answers. */
  agentOf(uid: Uid): GuestAgent | undefined;
}

/** Who asks for it goes through it to the socket, whose own mode says who may. */
const DIRECTORY_MODE = 0o711;
const UID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/**
 * The sockets by which programs of the host speak to guests' agents as they would to a VMM's vsock: each while its guest
 * runs, of microVMs whose spec says `agent: on`. They are the daemon's own, as the API's are: they end with it.
 */
export class GuestSockets {
  readonly #deps: GuestSocketsDeps;
  readonly #stops = new Map<Uid, () => Promise<void>>();
  /** What was begun for each, one after the other. */
  readonly #turns = new Map<Uid, Promise<void>>();

  constructor(deps: GuestSocketsDeps) {
    this.#deps = deps;
  }

  follow(uid: Uid): void {
    const { store, names, log } = this.#deps;
    const path = store.get(uid)?.spec.providerOptions.agent === 'on' ? agentSocketPath(names, uid) : undefined;
    if (path === undefined) return;
    this.#next(uid, async () => {
      await this.#stop(uid);
      try {
        await this.#deps.files.makeDirectory(agentSocketDirectory(names, uid), DIRECTORY_MODE);
        this.#stops.set(uid, await this.#serve(uid, path));
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        log.warn('there is no socket for the agent of a guest', { uid, error: error.message });
      }
    });
  }

  leave(uid: Uid): void {
    if (this.#turns.has(uid) || this.#stops.has(uid)) this.#next(uid, () => this.#stop(uid));
  }

  /** What is there, or about to go: the audit must know it. */
  paths(): readonly string[] {
    const { names } = this.#deps;
    return [...new Set([...this.#turns.keys(), ...this.#stops.keys()])].flatMap((uid) => [
      agentSocketDirectory(names, uid),
      ...[agentSocketPath(names, uid) ?? []].flat(),
    ]);
  }

  /** Resolves when what was begun is done. */
  async settled(): Promise<void> {
    while (this.#turns.size > 0) await Promise.all(this.#turns.values());
  }

  #serve(uid: Uid, path: string): Promise<() => Promise<void>> {
    const { log, serve, agentOf } = this.#deps;
    return serve({
      path,
      dial(door) {
        const agent = agentOf(uid);
        if (!agent) throw new Fault('tool', 'The guest agent is not there');
        return agent.dial(door);
      },
      told: (use) => log.info('the socket of a guest agent was used', { uid, ...use }),
    });
  }

  async #stop(uid: Uid): Promise<void> {
    await this.#stops.get(uid)?.();
    this.#stops.delete(uid);
    await this.#deps.files.remove(agentSocketDirectory(this.#deps.names, uid));
  }

  #next(uid: Uid, act: () => Promise<void>): void {
    const turn = (this.#turns.get(uid) ?? Promise.resolve())
      .then(act)
      .catch((error: unknown) =>
        this.#deps.log.warn('the socket of a guest agent is not as it should be', { uid, error }),
      )
      .finally(() => {
        if (this.#turns.get(uid) === turn) this.#turns.delete(uid);
      });
    this.#turns.set(uid, turn);
  }
}

/** Removes what daemons have left that were killed: called before this one serves anybody. */
export async function sweepGuestSockets({ names, files }: Pick<GuestSocketsDeps, 'names' | 'files'>): Promise<void> {
  for (const name of await files.list(names.runDirectory))
    if (UID.test(name)) await files.remove(`${names.runDirectory}/${name}`);
}
