import { Fault, type Violation } from '../../domain/fault.ts';
import type { ExecCommandRequest, ExecStart } from '../../gen/dropin/exec/microvmexec_pb.ts';
import type { ExecInput, ExecOutput, ExecStart as Start } from '../../ports/guest-agent.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { ownBytes } from '../own-bytes.ts';
import type { Call } from '../served.ts';

type Answer = {
  readonly payload:
    | { readonly case: 'stdout' | 'stderr'; readonly value: Uint8Array<ArrayBuffer> }
    | { readonly case: 'exitCode'; readonly value: number };
};

/** The service by which today's clients run commands in guests. */
export class DropinExec {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async *execCommand(requests: AsyncIterable<ExecCommandRequest>, { signal }: Call): AsyncGenerator<Answer> {
    const messages = requests[Symbol.asyncIterator]();
    const first = await messages.next();
    const payload = first.done ? undefined : first.value.payload;
    if (payload?.case !== 'start')
      throw Fault.invalid([{ field: 'start', description: 'must be in the first message, with uid and cmd' }]);
    const request = { uid: payload.value.uid, start: startOf(payload.value) };
    const outputs = this.#services.exec(request, inputsOf(messages), signal);
    for await (const output of eachUntil(signal, outputs)) yield answerOf(output);
  }
}

function startOf({ uid, cmd, args, cwd, env, shell, user, timeoutSeconds, hasStdin }: ExecStart): Start {
  const violations: Violation[] = [];
  const refuse = (field: string, description: string): void => void violations.push({ field, description });
  if (uid === '') refuse('start.uid', 'is required, microvm not found');
  if (cmd === '') refuse('start.cmd', 'is required');
  if (timeoutSeconds < 0) refuse('start.timeout_seconds', 'must not be negative');
  if ([cmd, cwd, user, ...args, ...Object.entries(env).flat()].some((text) => text.includes('\0')))
    refuse('start', 'holds a NUL, which no program can be given');
  if (Object.keys(env).some((name) => name === '' || name.includes('=')))
    refuse('start.env', 'has a name that is empty or holds "="');
  if (violations.length > 0) throw Fault.invalid(violations);
  return {
    ...{ command: cmd, args, directory: cwd, environment: env, shell, user },
    ...{ timeoutSeconds, hasStdin },
  };
}

/** What else a newer client sends is passed over. */
async function* inputsOf(messages: AsyncIterator<ExecCommandRequest>): AsyncGenerator<ExecInput> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { payload } = next.value;
    if (payload.case === 'stdin') yield { is: 'stdin', data: payload.value };
    if (payload.case === 'stdinEof' && payload.value) yield { is: 'stdin end' };
  }
}

/** Of a time limit that was over these clients see the status alone, 143. */
const answerOf = (output: ExecOutput): Answer =>
  output.is === 'exit'
    ? { payload: { case: 'exitCode', value: output.code } }
    : { payload: { case: output.is, value: ownBytes(output.data) } };
