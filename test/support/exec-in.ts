import { connect } from 'node:net';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import { poll, type TestHost } from './daemon.ts';

/** What a shell in a guest says to a command, by the guest's agent. @throws ConnectError */
export async function execIn(
  { socket }: Pick<TestHost, 'socket'>,
  uid: string,
  command: string,
): Promise<{ readonly code: number; readonly out: string }> {
  const baseUrl = 'http://localhost';
  const sessionManager = new Http2SessionManager(baseUrl, {}, { createConnection: () => connect(socket) });
  const transport = createGrpcTransport({ baseUrl, sessionManager });
  async function* start() {
    yield { payload: { case: 'start' as const, value: { uid, command, shell: true } } };
  }
  let out = '';
  try {
    for await (const { payload } of createClient(GuestService, transport).exec(start())) {
      if (payload.case === 'exit') return { code: payload.value.code, out };
      out += Buffer.from(payload.value ?? []).toString();
    }
  } finally {
    sessionManager.abort(); // else it stays open for a quarter of an hour
  }
  throw new Error('it ended without a status');
}

/** Waits until the agent of a guest answers, or is said to be otherwise. @returns what is said of it */
export const untilAgent = (
  host: Pick<TestHost, 'get' | 'console'>,
  uid: string,
  { status = 'True', timeoutMs = 90_000 } = {},
): Promise<string> =>
  poll(`AgentReady of ${uid} is ${status}`, timeoutMs, async () => {
    const conditions = (await host.get(uid)).status?.conditions ?? [];
    const found = conditions.find(({ type }) => type === 'AgentReady');
    if (found?.status === status) return { is: found.message };
    return { not: `${found?.message}\n${(await host.console(uid)).slice(-1_000)}` };
  });
