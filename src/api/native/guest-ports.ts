import { isIP } from 'node:net';
import { Fault, type Violation } from '../../domain/fault.ts';
import type { ForwardRequest, ForwardStart } from '../../gen/flintlock/microvm/v1/guest_ports_pb.ts';
import type { PortOutput, PortTarget } from '../../ports/guest-ports.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { ownBytes } from '../own-bytes.ts';

/** Of a unix socket's address, unix(7), without its NUL. */
const MAX_PATH_BYTES = 107;

type Answer = {
  readonly payload:
    | { readonly case: 'opened'; readonly value: object }
    | { readonly case: 'data'; readonly value: Uint8Array<ArrayBuffer> }
    | { readonly case: 'dataEof'; readonly value: boolean };
};

/** The verb Forward of GuestService. */
export async function* forward(
  services: Services,
  requests: AsyncIterable<ForwardRequest>,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  const payload = first.done ? undefined : first.value.payload;
  if (payload?.case !== 'start')
    throw Fault.invalid([{ field: 'start', description: 'must say where to connect to, in the first message' }]);
  const request = { uid: payload.value.uid, target: targetOf(payload.value) };
  for await (const output of eachUntil(signal, services.forward(request, dataOf(messages), signal)))
    yield answerOf(output);
}

function targetOf({ uid, host, port, path }: ForwardStart): PortTarget {
  const violations: Violation[] = [];
  const refuse = (field: string, description: string): void => void violations.push({ field, description });
  if (uid === '') refuse('start.uid', 'must name the microvm');
  if (path === '') {
    if (port < 1 || port > 65_535) refuse('start.port', `is ${port}, it must be 1 to 65535`);
    if (host !== '' && isIP(host) === 0) refuse('start.host', 'must be an IP address, or empty');
    // A zone belongs to the machine that it is written on.
    else if (host.includes('%')) refuse('start.host', 'must be without a zone');
  } else {
    if (port !== 0 || host !== '') refuse('start.path', 'stands in the place of start.host and start.port');
    if (!path.startsWith('/') || path.includes('\0')) refuse('start.path', 'must be absolute, and hold no NUL');
    if (Buffer.byteLength(path) > MAX_PATH_BYTES) refuse('start.path', `must have at most ${MAX_PATH_BYTES} bytes`);
  }
  if (violations.length > 0) throw Fault.invalid(violations);
  return path === '' ? { is: 'tcp', host, port } : { is: 'unix', path };
}

async function* dataOf(messages: AsyncIterator<ForwardRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { payload } = next.value;
    if (payload.case === 'start')
      throw Fault.invalid([{ field: 'start', description: 'belongs into the first message only' }]);
    if (payload.case === 'data') yield payload.value; // what else a newer client sends is passed over
  }
}

function answerOf(output: PortOutput): Answer {
  switch (output.is) {
    case 'opened':
      return { payload: { case: 'opened', value: {} } };
    case 'data':
      return { payload: { case: 'data', value: ownBytes(output.data) } };
    case 'end':
      return { payload: { case: 'dataEof', value: true } };
    default:
      return output satisfies never;
  }
}
