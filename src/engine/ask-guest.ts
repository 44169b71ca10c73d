import { exitText } from '../domain/exit-status.ts';
import { Fault } from '../domain/fault.ts';
import type { HealthCheck, HealthQuestion, HttpQuestion } from '../domain/health.ts';
import { HttpAnswer, type HttpStatus, httpRequest } from '../domain/http-answer.ts';
import { shorten } from '../domain/labels.ts';
import { oneLine } from '../domain/one-line.ts';
import type { ExecStart, GuestAgent } from '../ports/guest-agent.ts';

/** Of what a program wrote, for the message. */
const KEPT_CHARACTERS = 200;

/** What an agent lacks for a question: a clause. It says nothing of whether the guest is well. */
export function lackFor(question: HealthQuestion, { info }: GuestAgent): string | undefined {
  if ('exec' in question || info.features.includes('ports')) return undefined;
  return `its agent, version ${info.version}, reaches no ports of it; health_check.exec it can run`;
}

/**
 * Asks a guest once whether it is well.
 *
 * @param begin - how a program begins there
 * @returns why it is not, a clause
 * @throws what the agent does; the signal's reason
 */
export async function askGuest(
  check: HealthCheck,
  agent: GuestAgent,
  begin: (start: ExecStart) => ExecStart,
  signal: AbortSignal,
): Promise<string | undefined> {
  if ('exec' in check) return await askProgram(check.exec, check.timeoutMs, agent, begin, signal);
  const { port } = 'tcp' in check ? check.tcp : check.http;
  try {
    if ('tcp' in check) return await askPort(port, agent, signal);
    return await askServer(check.http, agent, signal);
  } catch (error) {
    // In the agent's words: that nobody listens, for one.
    if (error instanceof Fault && error.kind === 'refused') return `port ${port}: ${oneLine(error.message)}`;
    throw error;
  }
}

async function askProgram(
  [command = '', ...args]: readonly string[],
  timeoutMs: number,
  agent: GuestAgent,
  begin: (start: ExecStart) => ExecStart,
  signal: AbortSignal,
): Promise<string | undefined> {
  let said = '';
  const start = begin({
    ...{ command, args, directory: '', environment: {}, shell: false, user: '', hasStdin: false },
    timeoutSeconds: Math.ceil(timeoutMs / 1_000),
  });
  for await (const output of agent.exec(start, nothing(), signal)) {
    if (output.is !== 'exit') {
      if (said.length < KEPT_CHARACTERS) said += Buffer.from(output.data.subarray(0, KEPT_CHARACTERS)).toString();
      continue;
    }
    if (output.timedOut) return `it did not end within ${timeoutMs / 1_000} s`;
    if (output.code === 0) return undefined;
    const words = oneLine(said.trim().slice(0, KEPT_CHARACTERS));
    return `it ended ${exitText(output.code)}${words === '' ? '' : `: ${words}`}`;
  }
  return 'the agent did not say how it ended';
}

async function askPort(port: number, agent: GuestAgent, signal: AbortSignal): Promise<string | undefined> {
  for await (const output of agent.connect({ is: 'tcp', host: '', port }, nothing(), signal))
    if (output.is === 'opened') return undefined;
  return 'the agent did not say whether there is a connection';
}

async function askServer(question: HttpQuestion, agent: GuestAgent, signal: AbortSignal): Promise<string | undefined> {
  const answer = new HttpAnswer();
  const done = Promise.withResolvers<void>();
  // Many servers take the end of what they are sent for that of their client: it comes once they have answered.
  async function* request(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(httpRequest(question));
    await done.promise;
  }
  try {
    for await (const output of agent.connect({ is: 'tcp', host: '', port: question.port }, request(), signal)) {
      const status = output.is === 'data' ? answer.push(output.data) : undefined;
      if (status) return badStatus(question, status);
      if (output.is === 'end') break; // the rest would be our own end, which waits for this one
    }
    return badStatus(question, answer.noHttp());
  } finally {
    done.resolve();
  }
}

function badStatus({ port, path }: HttpQuestion, status: HttpStatus): string | undefined {
  const asked = `GET ${shorten(path)} at port ${port}`;
  switch (status.is) {
    case 'status':
      if (status.code >= 200 && status.code < 400) return undefined;
      return `${asked} was answered with ${status.code}${status.words === '' ? '' : ` ${status.words}`}`;
    case 'no http':
      if (status.said === '') return `${asked} was not answered: the server hung up`;
      return `${asked} was not answered in HTTP: ${status.said}`;
    default:
      return status satisfies never;
  }
}

async function* nothing(): AsyncGenerator<never> {}
