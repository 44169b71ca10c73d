import { Fault } from '../../domain/fault.ts';
import type { SSHProxyRequest } from '../../gen/dropin/ssh/microvmsshproxy_pb.ts';
import type { Services } from '../../service/services.ts';
import { eachUntil } from '../each-until.ts';
import { ownBytes } from '../own-bytes.ts';
import type { Call } from '../served.ts';

/** The service by which today's clients reach the SSH servers of guests. */
export class DropinSshProxy {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async *sSHProxy(
    requests: AsyncIterable<SSHProxyRequest>,
    { signal }: Call,
  ): AsyncGenerator<{ readonly data: Uint8Array<ArrayBuffer> }> {
    const messages = requests[Symbol.asyncIterator]();
    const first = await messages.next();
    const payload = first.done ? undefined : first.value.payload;
    if (payload?.case !== 'uid' || payload.value === '')
      throw Fault.invalid([{ field: 'uid', description: 'must be in the first message, microvm not found' }]);
    const answers = this.#services.sshProxy({ uid: payload.value }, dataOf(messages), signal);
    for await (const data of eachUntil(signal, answers)) yield { data: ownBytes(data) };
  }
}

async function* dataOf(messages: AsyncIterator<SSHProxyRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { payload } = next.value;
    if (payload.case === 'uid')
      throw Fault.invalid([{ field: 'uid', description: 'belongs into the first message only' }]);
    if (payload.case === 'data') yield payload.value;
  }
}
