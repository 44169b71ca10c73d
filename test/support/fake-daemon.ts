import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type ServerHttp2Session } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { onTestFinished } from 'vitest';
import { GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import { HostService } from '../../src/gen/flintlock/microvm/v1/host_pb.ts';
import { ImageService } from '../../src/gen/flintlock/microvm/v1/images_pb.ts';
import { MicroVMService } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import {
  type MicroVM,
  MicroVMSchema,
  type MicroVMSpecSchema,
  MicroVMStatus_MicroVMState,
  type MicroVMStatusSchema,
} from '../../src/gen/types/microvm_pb.ts';

export interface FakeDaemon {
  /** As `--host` takes it. */
  readonly address: string;
  /** Ends every connection at once, as a daemon that is killed does. */
  cut(): void;
}

/** Answers calls with what a test put there, on a unix socket of its own; it ends with the test. */
export async function startFakeDaemon(
  vms: Partial<ServiceImpl<typeof MicroVMService>>,
  host: Partial<ServiceImpl<typeof HostService>> = {},
  images: Partial<ServiceImpl<typeof ImageService>> = {},
  guests: Partial<ServiceImpl<typeof GuestService>> = {},
): Promise<FakeDaemon> {
  const directory = await mkdtemp(join(tmpdir(), 'flintlock-cli-'));
  const socket = join(directory, 'api.sock');
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer(
    connectNodeAdapter({
      routes: (router) =>
        router
          .service(MicroVMService, vms)
          .service(HostService, host)
          .service(ImageService, images)
          .service(GuestService, guests),
    }),
  );
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const cut = (): void => {
    for (const session of sessions) session.destroy();
  };
  onTestFinished(async () => {
    cut();
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });
  return { address: `unix://${socket}`, cut };
}

export const FAKE_UID = '01JDGZ0000000000000000000A';

type SpecInit = MessageInitShape<typeof MicroVMSpecSchema>;
type StatusInit = MessageInitShape<typeof MicroVMStatusSchema>;

/** A record of a microVM that runs, with some things otherwise. */
export function fakeVm(specChanges: SpecInit = {}, statusChanges: StatusInit = {}): MicroVM {
  const spec: SpecInit = {
    id: 'web',
    namespace: 'default',
    uid: FAKE_UID,
    vcpu: 2,
    memoryInMb: 256,
    generation: 1n,
    labels: { app: 'web' },
    kernel: { image: 'oci:/images/kernel:1', cmdline: 'quiet' },
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: 'oci:/images/root:1' } }],
    interfaces: [{ guestDeviceName: 'eth0', type: 1 }],
    createdAt: { seconds: 1_790_000_000n, nanos: 0 },
  };
  const status: StatusInit = {
    state: MicroVMStatus_MicroVMState.CREATED,
    reason: 'Running',
    message: 'The guest runs',
    provider: 'qemu',
    accelerator: 'tcg',
    networkInterfaces: { eth0: { hostDeviceName: 'flabcd0', index: 7, addresses: ['10.77.0.2'] } },
  };
  Object.assign(spec, specChanges);
  Object.assign(status, statusChanges);
  return create(MicroVMSchema, { version: 3, spec, status });
}

/** What the daemon answers where there is no such microVM. */
export const notFound = (what: string): ConnectError => new ConnectError(`microVM ${what} not found`, Code.NotFound);
