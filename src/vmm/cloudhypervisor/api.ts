import { Fault } from '../../domain/fault.ts';
import { RestSocket } from '../supervisor/rest.ts';
import { refusedBy, wordsOf } from './ends.ts';
import { isObject } from './machine.ts';

/** What a machine is doing; undefined: there is none. */
export type VmState = 'Created' | 'Running' | 'Paused' | 'Shutdown' | 'BreakPoint' | undefined;

export interface VmInfo {
  readonly state: VmState;
  /** As it was given, with all that was added. */
  readonly config?: unknown;
}

type Request =
  | 'vm.create'
  | 'vm.delete'
  | 'vm.boot'
  | 'vm.pause'
  | 'vm.resume'
  | 'vm.power-button'
  | 'vm.reboot'
  | 'vmm.shutdown';

const STATES = ['Created', 'Running', 'Paused', 'Shutdown', 'BreakPoint'] as const;

/** Cloud Hypervisor's REST interface. Every method throws Fault `tool` VmmUnreachable without an answer, and the signal's reason. */
export class Api {
  readonly #rest: RestSocket;

  constructor(path: string) {
    this.#rest = new RestSocket(path, 'Cloud Hypervisor');
  }

  /** Resolves when the connection has ended: with the process, at the latest. */
  get closed(): Promise<void> {
    return this.#rest.closed;
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#get('vmm.ping', signal);
  }

  async info(signal: AbortSignal): Promise<VmInfo> {
    const answer = await this.#rest.ask('GET', '/api/v1/vm.info', signal);
    if (answer.status !== 200) {
      // 404 since version 49, 500 before.
      if (/not created/i.test(wordsOf(answer))) return { state: undefined };
      throw refusedBy('vm.info', answer);
    }
    const info = parsed('vm.info', answer.text);
    const state = isObject(info) ? STATES.find((one) => one === info.state) : undefined;
    if (!isObject(info) || state === undefined) throw odd('vm.info', answer.text);
    return { state, config: info.config };
  }

  counters(signal: AbortSignal): Promise<unknown> {
    return this.#get('vm.counters', signal);
  }

  /** @throws Fault ProviderRefused with its words too */
  async tell(request: Request, signal: AbortSignal, body?: unknown): Promise<void> {
    const answer = await this.#rest.ask('PUT', `/api/v1/${request}`, signal, body);
    if (answer.status >= 300) throw refusedBy(request, answer);
  }

  close(): void {
    this.#rest.close();
  }

  async #get(request: string, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#rest.ask('GET', `/api/v1/${request}`, signal);
    if (answer.status !== 200) throw refusedBy(request, answer);
    return parsed(request, answer.text);
  }
}

function parsed(request: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw odd(request, text);
  }
}

const odd = (request: string, text: string): Fault =>
  new Fault('tool', `Cloud Hypervisor answers ${request} with ${JSON.stringify(text.slice(0, 80))}`, {
    reason: 'VmmUnreachable',
  });
