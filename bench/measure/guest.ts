import { connect } from 'node:net';
import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import { WaitMicroVMRequest_Until } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import type { SpecInit, TestHost } from '../../test/support/daemon.ts';
import type { Asked } from '../floor/agent.ts';
import { Floor } from './floor.ts';
import { Lab } from './lab.ts';

export type Guests = Client<typeof GuestService>;

export interface Guest {
  readonly lab: Lab;
  readonly uid: string;
  /** One connection for all calls. */
  readonly guests: Guests;
  /** Another guest of the same command line, whose agent is spoken to by hand. */
  readonly floor: Floor<Asked>;
}

/** A daemon with a guest whose agent answers, and another beside it by hand, for as long as something is done with them. */
export async function withGuest<T>(change: Partial<SpecInit>, act: (guest: Guest) => Promise<T>): Promise<T> {
  const lab = await Lab.start();
  try {
    await using floor = Floor.start<Asked>(lab.host, 'agent.ts');
    const uid = await lab.created(change);
    await lab.host.vms.waitMicroVM({ uid, until: WaitMicroVMRequest_Until.AGENT });
    const { argv } = lab.vmm(uid);
    await floor.ask({
      ...{ do: 'begin', argv: ['setpriv', '--no-new-privs', ...argv] },
      directory: `${lab.host.directory}/floor`,
    });
    return await act({ lab, uid, guests: guestsOf(lab.host), floor });
  } finally {
    await lab.close();
  }
}

/**
 * @param at - a daemon's socket, or a port of loopback
 * @param token - whose it calls as; none: as who has the socket
 */
export function guestsOf(at: Pick<TestHost, 'socket'> | { readonly port: number }, token?: string): Guests {
  const transport = createGrpcTransport({
    baseUrl: 'http://localhost',
    nodeOptions: { createConnection: () => ('socket' in at ? connect(at.socket) : connect(at.port, '127.0.0.1')) },
    interceptors: [
      (next) => (request) => {
        if (token !== undefined) request.header.set('authorization', `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return createClient(GuestService, transport);
}

/** Milliseconds. */
export async function timed(act: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await act();
  return performance.now() - began;
}
