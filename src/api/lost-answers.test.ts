import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { type Cut, startCuttingProxy } from '../../test/stand-ins/cutting-proxy.ts';
import { startApi } from '../../test/support/api.ts';
import { FakeHost, fullDraft } from '../../test/support/fake-host.ts';
import { hang } from '../../test/support/fake-world.ts';
import type { Uid } from '../domain/microvm.ts';
import { MicroVM as DropinService } from '../gen/dropin/services/microvms_pb.ts';
import type { MicroVMSpecSchema as DropinSpecSchema } from '../gen/dropin/types/microvm_pb.ts';
import { MicroVMService } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { MicroVMSpecSchema } from '../gen/types/microvm_pb.ts';
import type { Endpoint } from './endpoint.ts';

/** More frames than either side sends for one call. */
const MOST_FRAMES = 24;
/** As often as a client of this field tries again, at least (the retry policy of gRPC: 5). */
const TRIES = 5;

interface Situation {
  readonly host: FakeHost;
  /** Through the proxy. */
  readonly transport: Transport;
  /** What the calls before it made. */
  readonly uid: Uid | undefined;
}

/** A mutation that is asked again until it is answered, and what must be true then. */
interface Mutation {
  readonly before?: (host: FakeHost) => Promise<Uid>;
  readonly ask: (situation: Situation) => Promise<unknown>;
  readonly judge: (situation: Situation) => void;
}

const kernel = { image: 'oci:/images:kernel', filename: 'boot/vmlinuz' };
const rootVolume = { id: 'root', source: { containerSource: 'oci:/images:root' } };
const dropinSpec = (guestMac?: string): MessageInitShape<typeof DropinSpecSchema> => ({
  ...{ id: 'node-1', namespace: 'team', vcpu: 1, memoryInMb: 128, kernel, rootVolume },
  interfaces: [{ deviceId: 'eth1', type: 1, ...(guestMac !== undefined && { guestMac }) }],
});
const nativeSpec: MessageInitShape<typeof MicroVMSpecSchema> = {
  ...{ id: 'node-1', namespace: 'team', vcpu: 1, memoryInMb: 128, kernel },
  volumes: [{ id: 'root', isRoot: true, source: { containerSource: 'oci:/images:root' } }],
};
const countIs =
  (...allowed: readonly number[]) =>
  ({ host }: Situation): void =>
    void expect(allowed).toContain(host.life.store.count());
const one = async (host: FakeHost): Promise<Uid> => host.create(fullDraft);

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  'a drop-in create with a MAC address': {
    ask: ({ transport }) =>
      createClient(DropinService, transport).createMicroVM({ microvm: dropinSpec('2a:76:d1:e0:64:15') }),
    judge: countIs(1),
  },
  'a drop-in create without one': {
    ask: ({ transport }) => createClient(DropinService, transport).createMicroVM({ microvm: dropinSpec() }),
    // As upstream: it asks for another one each time.
    judge: countIs(1, 2),
  },
  'a create with an idempotency key': {
    ask: ({ transport }) =>
      createClient(MicroVMService, transport).createMicroVM({
        microvm: nativeSpec,
        idempotencyKey: 'order-66',
      }),
    judge: countIs(1),
  },
  'a delete by uid': {
    before: one,
    // Gone meanwhile is done, for every client of this API.
    ask: ({ transport, uid = '' }) =>
      createClient(DropinService, transport)
        .deleteMicroVM({ uid })
        .catch((error: unknown) => {
          if (ConnectError.from(error).code !== Code.NotFound) throw error;
        }),
    judge: ({ host, uid }) => expect(host.life.store.get(uid ?? ('' as Uid))?.deletedAt).toBeDefined(),
  },
  'an update of an expected generation': {
    before: one,
    ask: ({ transport, uid = '' }) =>
      createClient(MicroVMService, transport).updateMicroVM({
        ...{ microvm: { uid, labels: { tier: 'gold' } }, updateMask: { paths: ['labels.tier'] } },
        expectedGeneration: 1n,
      }),
    judge: ({ host, uid }) =>
      expect(host.vm(uid ?? ('' as Uid))).toMatchObject({ generation: 2, spec: { labels: { tier: 'gold' } } }),
  },
  'a stop': {
    before: one,
    ask: ({ transport, uid = '' }) =>
      createClient(MicroVMService, transport).stopMicroVM({ uid, timeout: { seconds: 0n } }),
    judge: ({ host, uid }) => expect(host.vm(uid ?? ('' as Uid)).state.is).toBe('STOPPED'),
  },
};

const portOf = (endpoint: Endpoint): number => (endpoint.kind === 'tcp' ? endpoint.port : 0);

/** @returns whether the line was cut */
async function run({ before, ask, judge }: Mutation, cut: Cut): Promise<boolean> {
  const host = new FakeHost();
  host.world.always('image', hang);
  const { api, grpc } = await startApi(host.life.services);
  const proxy = await startCuttingProxy({ port: portOf(grpc) }, cut);
  try {
    const uid = await before?.(host);
    for (let tries = 1; ; tries++) {
      // A new connection each time, as the Cluster API provider makes.
      const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${proxy.port}` });
      const situation = { host, transport, uid };
      try {
        await ask(situation);
      } catch (error) {
        if (tries < TRIES && proxy.hasCut) continue;
        throw error;
      }
      judge(situation);
      return proxy.hasCut;
    }
  } finally {
    await proxy.close();
    await api.stop();
  }
}

test.each(Object.entries(MUTATIONS))('%s is the same one when its answer is lost at any frame', async (_, mutation) => {
  for (const of of ['client', 'server'] as const) {
    let [cuts, whole] = [0, 0];
    // Until the whole of a call was walked: its last frames are not reached by a cut any more. Twice, as the library sends one more at times.
    for (let before = 0; before < MOST_FRAMES && whole < 2; before++) {
      const wasCut = await run(mutation, { of, before });
      cuts += Number(wasCut);
      whole = wasCut ? 0 : whole + 1;
    }
    expect(cuts).toBeGreaterThan(2);
    expect(whole).toBe(2);
  }
});
