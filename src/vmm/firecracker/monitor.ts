import { TimeLimit } from '../../base/time-limit.ts';
import { Fault } from '../../domain/fault.ts';
import type { MetadataTree, VmmEnd } from '../../ports/vmm.ts';
import type { Connection, GuestReport, Monitor } from '../supervisor/monitor.ts';
import { type RestAnswer, RestSocket } from '../supervisor/rest.ts';
import { isPassing } from './ends.ts';
import type { Told } from './machine.ts';
import type { Metrics } from './metrics.ts';

export interface MonitorOptions {
  /** Firecracker's API socket. */
  readonly path: string;
  readonly machine: readonly Told[];
  /** Called once it has been told of its machine, before its guest runs: it has made all its sockets. */
  readonly told: () => Promise<void>;
  /** Called where its guest has not begun: what its console holds by then is of other runs. */
  readonly fresh: () => Promise<void>;
  /** How the run of a guest is over of which Firecracker says that it runs; undefined: it is not. */
  readonly stoodStill: () => Promise<VmmEnd | undefined>;
  /** Why Firecracker may not open a file of the host's that it was to have: a clause; undefined: nothing is known. */
  readonly whyClosed: (path: string) => Promise<string | undefined>;
  /** Absent: it was started without. */
  readonly metrics?: Pick<Metrics, 'take' | 'diskOperations'>;
}

const never = new AbortController().signal;

/** It answers at once. */
const ANSWER_MS = 5_000;

/**
 * Speaks with one Firecracker over its API socket. It tells nothing unasked.
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/src/firecracker/swagger/firecracker.yaml
 */
export class FirecrackerMonitor implements Monitor {
  readonly hasPowerButton = true;
  readonly #options: MonitorOptions;
  #rest: RestSocket | undefined;
  #isTold = false;
  /** Why its guest cannot begin: the process is spent then, its standard input is dead. */
  #spent: VmmEnd | undefined;

  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  async connect(signal: AbortSignal): Promise<{ connection: Connection; report: GuestReport }> {
    const rest = new RestSocket(this.#options.path, 'Firecracker');
    const forget = (): void => {
      if (this.#rest === rest) this.#rest = undefined;
    };
    try {
      const report = await this.#report(rest, signal);
      if (report.is === 'ready') await this.#options.fresh();
      if (report.is === 'ready' && !this.#isTold) await this.#tellMachine(rest, signal);
      await this.#options.told();
      this.#rest = rest;
      void rest.closed.then(forget);
      const ask = async (): Promise<GuestReport> => {
        try {
          this.#count();
          return await this.#report(rest, never);
        } catch (error) {
          rest.close();
          throw error;
        }
      };
      return { connection: { ask, closed: rest.closed, close: () => rest.close() }, report };
    } catch (error) {
      rest.close();
      throw error;
    }
  }

  async begin(signal: AbortSignal): Promise<void> {
    try {
      await this.#tell('start the guest', 'PUT', '/actions', { action_type: 'InstanceStart' }, signal);
    } catch (error) {
      if (error instanceof Fault && error.reason === 'ProviderRefused')
        this.#spent = { reason: 'ProviderRefused', message: error.message };
      throw error;
    }
  }

  /** Answered well also where the guest does not hear it. */
  pressPower(signal: AbortSignal): Promise<void> {
    return this.#tell('press Ctrl-Alt-Del', 'PUT', '/actions', { action_type: 'SendCtrlAltDel' }, signal);
  }

  pause(signal: AbortSignal): Promise<void> {
    return this.#tell('pause the guest', 'PATCH', '/vm', { state: 'Paused' }, signal);
  }

  resume(signal: AbortSignal): Promise<void> {
    return this.#tell('resume the guest', 'PATCH', '/vm', { state: 'Resumed' }, signal);
  }

  setMetadata(data: MetadataTree, signal: AbortSignal): Promise<void> {
    return this.#tell('have its metadata', 'PUT', '/mmds', data, signal);
  }

  reboot(): Promise<void> {
    return Promise.reject(new Fault('refused', 'Cannot reboot in place: Firecracker ends where its guest resets it'));
  }

  async diskOperations(): Promise<number | undefined> {
    const { metrics } = this.#options;
    if (!metrics) return undefined;
    metrics.take(); // what has come with nobody there to read it may leave no room
    using limit = new TimeLimit(undefined, ANSWER_MS);
    await this.#tell('count', 'PUT', '/actions', { action_type: 'FlushMetrics' }, limit.signal);
    metrics.take();
    return metrics.diskOperations;
  }

  /** What cannot be read of it says nothing of the guest. */
  #count(): void {
    try {
      this.#options.metrics?.take();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #report(rest: RestSocket, signal: AbortSignal): Promise<GuestReport> {
    const answer = await rest.ask('GET', '/', signal);
    switch (stateIn(answer)) {
      case 'Not started':
        return this.#spent ? { is: 'broken', end: this.#spent } : { is: 'ready' };
      case 'Paused':
        return { is: 'paused' };
      case 'Running': {
        const end = await this.#options.stoodStill();
        return end ? { is: 'broken', end } : { is: 'running' };
      }
      default:
        throw new Fault('tool', `Firecracker does not say how its guest does: ${excerpt(answer)}`, {
          reason: 'VmmUnreachable',
        });
    }
  }

  /** @throws Fault ProviderRefused where it will not have it */
  async #tellMachine(rest: RestSocket, signal: AbortSignal): Promise<void> {
    await refuseHalfTold(rest, signal);
    for (const { what, path, body, files } of this.#options.machine) {
      const answer = await rest.ask('PUT', path, signal, body);
      if (answer.status >= 300)
        throw await this.#withReason(refusal(`have ${what}`, answer, files), [...files.values()]);
    }
    this.#isTold = true;
  }

  /** @param paths - of the host, that it was to open */
  async #withReason(fault: Fault, paths: readonly string[]): Promise<Fault> {
    if (!CLOSED.test(fault.message)) return fault;
    const reasons = (await Promise.all(paths.map(this.#options.whyClosed))).flatMap((why) => why ?? []);
    if (reasons.length === 0) return fault;
    return new Fault(fault.kind, `${fault.message}: ${reasons.join(', and ')}`, { reason: 'ProviderRefused' });
  }

  /** @throws Fault `tool` where it does not answer; Fault ProviderRefused; the signal's reason */
  async #tell(
    what: string,
    method: 'PUT' | 'PATCH',
    path: string,
    body: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<void> {
    const rest = this.#rest;
    if (!rest)
      throw new Fault('tool', `Cannot tell Firecracker on ${this.#options.path} to ${what}: it does not answer`, {
        reason: 'VmmUnreachable',
      });
    const answer = await rest.ask(method, path, signal, body);
    if (answer.status >= 300) throw refusal(what, answer, new Map());
  }
}

/**
 * One that a daemon had told a part before it died is not told again: what is told twice of an interface comes last, in
 * another order.
 */
async function refuseHalfTold(rest: RestSocket, signal: AbortSignal): Promise<void> {
  const answer = await rest.ask('GET', '/vm/config', signal);
  const config = objectIn(answer);
  const isEmpty = (list: unknown): boolean => list === undefined || (Array.isArray(list) && list.length === 0);
  if (config && isEmpty(config.drives) && isEmpty(config['network-interfaces'])) return;
  throw new Fault('tool', 'Firecracker was left with half of a machine; it is started anew', {
    reason: 'ProviderRefused',
  });
}

/** @param files - what Firecracker knows files by, and what they are */
function refusal(what: string, answer: RestAnswer, files: ReadonlyMap<string, string>): Fault {
  const fault = objectIn(answer)?.fault_message;
  let words = typeof fault === 'string' ? fault : excerpt(answer);
  for (const [open, path] of files) words = words.replaceAll(open, path);
  // Too many speak with it: who asks later is heard.
  const kind = answer.status === 503 || isPassing(words) ? 'tool' : 'refused';
  const of = [...files.values()].filter((path) => !words.includes(path)).join(', ');
  return new Fault(kind, `Firecracker will not ${what}${of === '' ? '' : ` (${of})`}: ${words.slice(0, 500)}`, {
    reason: 'ProviderRefused',
  });
}

/** ENOENT, EPERM and EACCES, as Rust says them. */
const CLOSED = /\(os error (?:1|2|13)\)/;

const excerpt = ({ status, text }: RestAnswer): string => `status ${status}, ${JSON.stringify(text.slice(0, 200))}`;

const stateIn = (answer: RestAnswer): unknown => (answer.status === 200 ? objectIn(answer)?.state : undefined);

/** Not all that it answers is JSON. */
function objectIn({ text }: RestAnswer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
