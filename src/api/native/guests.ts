import { durationMs } from '@bufbuild/protobuf/wkt';
import { Fault, type Violation } from '../../domain/fault.ts';
import type { ExecRequest, ExecStart, InfoRequest, RunRequest } from '../../gen/flintlock/microvm/v1/guest_pb.ts';
import type { ForwardRequest } from '../../gen/flintlock/microvm/v1/guest_ports_pb.ts';
import type { StatisticsRequest } from '../../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import type { ExecInput, ExecOutput, ExecStart as Start } from '../../ports/guest-agent.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { ownBytes } from '../own-bytes.ts';
import type { Call } from '../served.ts';
import { forward } from './guest-ports.ts';
import { statistics } from './guest-statistics.ts';

/** A day of seconds. */
const MAX_TIMEOUT_SECONDS = 86_400;

type Answer = {
  readonly payload:
    | { readonly case: 'stdout' | 'stderr'; readonly value: Uint8Array<ArrayBuffer> }
    | { readonly case: 'exit'; readonly value: { readonly code: number; readonly timedOut: boolean } };
};

interface RunAnswer {
  readonly stdout: Uint8Array<ArrayBuffer>;
  readonly stderr: Uint8Array<ArrayBuffer>;
  readonly cut: boolean;
  readonly exit: { readonly code: number; readonly timedOut: boolean };
}

/** The verbs of GuestService. */
export class Guests {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async *exec(requests: AsyncIterable<ExecRequest>, { signal }: Call): AsyncGenerator<Answer> {
    const messages = requests[Symbol.asyncIterator]();
    const first = await messages.next();
    const payload = first.done ? undefined : first.value.payload;
    if (payload?.case !== 'start')
      throw Fault.invalid([{ field: 'start', description: 'must say what to run, in the first message' }]);
    const request = { uid: payload.value.uid, start: startOf(payload.value), asImage: true as const };
    const outputs = this.#services.exec(request, inputsOf(messages), signal);
    for await (const output of eachUntil(signal, outputs)) yield answerOf(output);
  }

  /** An Exec whose input is known. */
  async *stream({ start, stdin }: RunRequest, { signal }: Call): AsyncGenerator<Answer> {
    if (!start) throw Fault.invalid([{ field: 'start', description: 'must say what to run' }]);
    if (start.terminal)
      throw Fault.invalid([{ field: 'start.terminal', description: 'is for Exec, by gRPC or a WebSocket' }]);
    const request = {
      uid: start.uid,
      start: { ...startOf(start), hasStdin: stdin.length > 0 },
      asImage: true as const,
    };
    for await (const output of eachUntil(signal, this.#services.exec(request, whole(stdin), signal)))
      yield answerOf(output);
  }

  async run(request: RunRequest, call: Call): Promise<RunAnswer> {
    const kept = { stdout: new Kept(), stderr: new Kept() };
    for await (const { payload } of this.stream(request, call))
      if (payload.case === 'exit') {
        const { stdout, stderr } = kept;
        return {
          ...{ stdout: stdout.bytes(), stderr: stderr.bytes(), cut: stdout.isCut || stderr.isCut },
          exit: payload.value,
        };
      } else kept[payload.case].add(payload.value);
    throw new Fault('tool', 'The guest agent hung up before the program had ended');
  }

  forward(requests: AsyncIterable<ForwardRequest>, { signal }: Call): ReturnType<typeof forward> {
    return forward(this.#services, requests, signal);
  }

  statistics(request: StatisticsRequest, { signal }: Call): ReturnType<typeof statistics> {
    return statistics(this.#services, request, signal);
  }

  async info({ uid }: InfoRequest, { signal }: Call): Promise<{ version: string; uname: string; features: string[] }> {
    if (uid === '') throw Fault.invalid([{ field: 'uid', description: 'must name the microvm' }]);
    const { version, uname, features } = await this.#services.agentInfo({ uid }, signal);
    return { version, uname, features: [...features] };
  }
}

/** Of one output of a program that nobody reads meanwhile. */
const MAX_KEPT_BYTES = 1 << 20;

class Kept {
  readonly #pieces: Uint8Array[] = [];
  #left = MAX_KEPT_BYTES;
  isCut = false;

  add(piece: Uint8Array): void {
    if (piece.length > this.#left) this.isCut = true;
    const part = piece.subarray(0, this.#left);
    this.#left -= part.length;
    if (part.length > 0) this.#pieces.push(part);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return ownBytes(Buffer.concat(this.#pieces));
  }
}

async function* whole(data: Uint8Array): AsyncGenerator<ExecInput> {
  if (data.length > 0) yield { is: 'stdin', data };
  yield { is: 'stdin end' };
}

function startOf({ timeout, terminal, ...start }: ExecStart): Start {
  const { uid, command, args, directory, environment, shell, user, hasStdin } = start;
  const timeoutSeconds = timeout ? Math.ceil(durationMs(timeout) / 1_000) : 0;
  const violations: Violation[] = [];
  const refuse = (field: string, description: string): void => void violations.push({ field, description });
  if (uid === '') refuse('start.uid', 'must name the microvm to run it in');
  if (command === '') refuse('start.command', 'must name the program to run');
  if (!(timeoutSeconds >= 0 && timeoutSeconds <= MAX_TIMEOUT_SECONDS)) refuse('start.timeout', 'must be 0 s to 24 h');
  refuseNul(refuse, { command, directory, user }, args, environment);
  if (violations.length > 0) throw Fault.invalid(violations);
  return {
    ...{ command, args, directory, environment, shell, user, timeoutSeconds, hasStdin },
    ...(terminal && {
      terminal: { rows: terminal.size?.rows ?? 0, columns: terminal.size?.columns ?? 0, term: terminal.term },
    }),
  };
}

/** No program can be given these: execve(2) ends a text at its NUL, and a variable's name at its `=`. */
function refuseNul(
  refuse: (field: string, description: string) => void,
  texts: Readonly<Record<string, string>>,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): void {
  for (const [field, text] of Object.entries(texts)) if (text.includes('\0')) refuse(`start.${field}`, 'holds a NUL');
  if (args.some((arg) => arg.includes('\0'))) refuse('start.args', 'hold a NUL');
  for (const [name, value] of Object.entries(environment))
    if (name === '' || name.includes('=') || `${name}${value}`.includes('\0'))
      refuse('start.environment', 'has a name that is empty or holds "=", or a NUL');
}

async function* inputsOf(messages: AsyncIterator<ExecRequest>): AsyncGenerator<ExecInput> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { payload } = next.value;
    switch (payload.case) {
      case 'stdin':
        yield { is: 'stdin', data: payload.value };
        break;
      case 'stdinEof':
        if (payload.value) yield { is: 'stdin end' };
        break;
      case 'resize':
        yield { is: 'resize', rows: payload.value.rows, columns: payload.value.columns };
        break;
      case 'signal':
        if (payload.value < 1 || payload.value > 31)
          throw Fault.invalid([{ field: 'signal', description: `is ${payload.value}, it must be 1 to 31` }]);
        yield { is: 'signal', number: payload.value };
        break;
      case 'start':
        throw Fault.invalid([{ field: 'start', description: 'belongs into the first message only' }]);
      default: // of a newer client
    }
  }
}

const answerOf = (output: ExecOutput): Answer =>
  output.is === 'exit'
    ? { payload: { case: 'exit', value: { code: output.code, timedOut: output.timedOut } } }
    : { payload: { case: output.is, value: ownBytes(output.data) } };
