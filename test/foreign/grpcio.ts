import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { poll, type TestHost } from '../support/daemon.ts';
import { byUid } from '../support/recorded.ts';
import { type Wire, wireBytes } from '../support/wire-bytes.ts';

/** Debian's, for which python3-grpcio is: another one may come first in PATH. */
const PYTHON = '/usr/bin/python3';
const [CREATED, FAILED, DELETING] = [1, 2, 3];
/** battery waits no longer than that for a CREATED. */
const CREATED_MS = 60_000;
/** acceptance-tests wait no longer than that for the end. */
const GONE_MS = 120_000;

export interface GrpcioOptions {
  readonly target: string;
  /** PEM files. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly authorization?: string;
  /** Of the channel, as gRPC's C core names them. */
  readonly options?: readonly (readonly [string, number])[];
}

/** As it came: what is not there was not sent. */
export interface DropinVm {
  readonly spec?: Record<string, unknown> & { readonly uid?: string };
  readonly status?: {
    readonly state?: number;
    readonly message?: string;
    readonly reason?: string;
    readonly network_interfaces?: Readonly<Record<string, { readonly host_device_name: string }>>;
  };
}

/** What gRPC says of a call that failed; `text` is the whole of it, in which some clients look for words. */
export class RpcError extends Error {
  readonly code: string;
  readonly details: string;
  readonly text: string;
  constructor({ code, details, text }: { code: string; details: string; text: string }) {
    super(`${code}: ${details}`);
    this.code = code;
    this.details = details;
    this.text = text;
  }
}

/** gRPC of Python, in a process of its own in the host's network namespace. */
export class Grpcio implements Disposable {
  readonly #child;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';

  constructor(host: TestHost, options: GrpcioOptions, env: Readonly<Record<string, string>> = {}) {
    const client = join(import.meta.dirname, 'client.py');
    const argv = [...host.inside, PYTHON, client, JSON.stringify(options)];
    this.#child = spawn('nsenter', argv, { env: { ...process.env, ...env } });
    this.#child.stderr.on('data', (data: Buffer) => {
      this.#stderr += data.toString();
    });
    this.#child.stdin.on('error', () => {}); // it has ended: the answer that does not come tells
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** What gRPC itself tells, where the environment asks for it. */
  get log(): string {
    return this.#stderr;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }

  /** Ends as a program does that has nothing more to ask. @returns its exit code */
  async end(): Promise<number | null> {
    this.#child.stdin.end();
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  async #ask<T>(question: object): Promise<T> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the client has ended: ${this.#stderr.slice(-2_000)}`);
    const answer = JSON.parse(value);
    if (answer.error) throw new RpcError(answer.error);
    if (answer.broken) throw new Error(`the client is broken: ${answer.broken}`);
    return answer;
  }

  services = async (version: string): Promise<readonly string[]> =>
    (await this.#ask<{ services: string[] }>({ do: 'services', version })).services;
  describe = (version: string, symbol: string): Promise<object> => this.#ask({ do: 'describe', version, symbol });
  raw = (path: string): Promise<object> => this.#ask({ do: 'raw', path });
  idle = (seconds: number): Promise<{ states: readonly string[] }> => this.#ask({ do: 'idle', seconds });

  /**
   * @param request - recorded bytes; or an object, as a client with generated code builds it: with the names of the
   *   wire's fields and the numbers of its enums
   */
  call<T = unknown>(
    method: string,
    request: Wire | object,
    { fresh = false, stream = false } = {},
  ): Promise<{ readonly answer: T; readonly seconds: number; readonly request: object }> {
    const what = Array.isArray(request)
      ? { bytes: Buffer.from(wireBytes(request as Wire)).toString('base64') }
      : { spec: request };
    return this.#ask({ do: 'call', method, fresh, stream, ...what });
  }

  /**
   * Both sides speak. @param then - said once something was answered; then our side ends
   * @returns all that was answered, bytes in base64
   */
  async converse<T = Readonly<Record<string, unknown>>>(
    service: string,
    method: string,
    messages: readonly object[],
    then: readonly object[] = [],
  ): Promise<readonly T[]> {
    const { answers } = await this.#ask<{ answers: T[] }>({ do: 'converse', service, method, messages, then });
    return answers;
  }

  async create(request: Wire | object): Promise<DropinVm> {
    const { answer } = await this.call<{ microvm?: DropinVm }>('CreateMicroVM', request);
    return answer.microvm ?? {};
  }
  async get(uid: string, options = {}): Promise<DropinVm> {
    const { answer } = await this.call<{ microvm?: DropinVm }>('GetMicroVM', byUid(uid), options);
    return answer.microvm ?? {};
  }
  async list(request: Wire): Promise<readonly DropinVm[]> {
    return (await this.call<{ microvm?: DropinVm[] }>('ListMicroVMs', request)).answer.microvm ?? [];
  }
  async delete(uid: string): Promise<unknown> {
    return (await this.call('DeleteMicroVM', byUid(uid))).answer;
  }

  /** As the clients do: they ask until it is CREATED; FAILED ends it. */
  untilCreated(uid: string): Promise<DropinVm> {
    return poll(`${uid} is CREATED`, CREATED_MS, async () => {
      const vm = await this.get(uid);
      if (vm.status?.state === CREATED) return { is: vm };
      if (vm.status?.state === FAILED) throw new Error(`it is FAILED: ${vm.status.message}`);
      return { not: `${vm.status?.reason}: ${vm.status?.message}` };
    });
  }

  /** DELETING may be answered for a while; in the end it is not found. @returns that error */
  untilNotFound(uid: string): Promise<RpcError> {
    return poll(`${uid} is not found`, GONE_MS, async () => {
      try {
        const { status } = await this.get(uid);
        if (status?.state !== DELETING) throw new Error(`it is ${status?.state} after its delete`);
        return { not: String(status.message) };
      } catch (error) {
        if (error instanceof RpcError) return { is: error };
        throw error;
      }
    });
  }
}
