import { toJsonString } from '@bufbuild/protobuf';
import { createClient, type Transport } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { allOf } from '../../test/support/all-of.ts';
import { startApi, transportTo } from '../../test/support/api.ts';
import { FakeHost } from '../../test/support/fake-host.ts';
import {
  ListMessageSchema as TodayMessage,
  ListMicroVMsResponseSchema as TodayResponse,
  MicroVM as TodayService,
} from '../gen/dropin/services/microvms_pb.ts';
import {
  ListMessageSchema,
  ListMicroVMsResponseSchema,
  MicroVMService,
} from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import { formatEndpoint } from './endpoint.ts';

test('a microVM has the same tag in each answer that is put together of bytes', () => {
  for (const desc of [ListMessageSchema, ListMicroVMsResponseSchema, TodayMessage, TodayResponse])
    expect(desc.field.microvm.number).toBe(1);
});

/** By gRPC, which sends kept bytes, and by gRPC-web, which makes each answer anew. */
async function lists(transport: Transport) {
  const [native, today] = [createClient(MicroVMService, transport), createClient(TodayService, transport)];
  const page = await native.listMicroVMs({ pageSize: 2, showDeleted: true });
  return {
    all: await native.listMicroVMs({}),
    page,
    next: await native.listMicroVMs({ pageToken: page.nextPageToken, showDeleted: true }),
    stream: await allOf(native.listMicroVMsStream({})),
    today: await today.listMicroVMs({}),
    todayStream: await allOf(today.listMicroVMsStream({ name: 'vm1' })),
  };
}

test('lists of kept bytes say what is so, whatever happens between them', async () => {
  const host = new FakeHost();
  const { grpc, client } = await startApi(host.life.services);
  const direct = transportTo(grpc);
  const web = createGrpcWebTransport({ baseUrl: `http://${formatEndpoint(grpc)}`, httpVersion: '2' });
  const vms = client(MicroVMService);
  const seen = new Set<string>();
  const isNew = async (): Promise<void> => {
    const told = await lists(direct);
    expect(told).toEqual(await lists(web));
    expect(told).toEqual(await lists(direct)); // from what is kept
    expect(told.stream.map(({ microvm }) => microvm)).toEqual(told.all.microvm);
    const text = toJsonString(ListMicroVMsResponseSchema, told.page);
    expect(seen).not.toContain(text);
    seen.add(text);
  };
  const uid = await host.create({ id: 'vm0', metadata: { id: 'YQ==' } });
  for (const id of ['vm1', 'vm2']) await host.until(await host.create({ id }), 'CREATED');
  await host.until(uid, 'CREATED');
  await isNew();
  await vms.updateMicroVM({ microvm: { uid, labels: { tier: 'gold' } }, updateMask: { paths: ['labels'] } });
  await isNew();
  await vms.updateMicroVM({ microvm: { uid, metadata: { b: 'Yg==' } }, updateMask: { paths: ['metadata'] } });
  await isNew();
  await vms.stopMicroVM({ uid, timeout: { seconds: 0n } });
  await isNew();
  await host.delete(uid);
  await host.until(uid, 'gone');
  await isNew();
});
