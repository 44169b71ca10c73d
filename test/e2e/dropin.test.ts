import { fromBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { makeImage } from '../../guest/make-image.ts';
import {
  CreateMicroVMResponseSchema,
  GetMicroVMResponseSchema,
  ListMicroVMsResponseSchema,
} from '../../src/gen/dropin/services/microvms_pb.ts';
import type { MicroVM } from '../../src/gen/dropin/types/microvm_pb.ts';
import { poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';
import {
  byUid,
  capmvmCreate,
  flCreate,
  hammertimeCreate,
  hammertimeList,
  type RecordedWith,
} from '../support/recorded.ts';
import { type Wire, wireBytes } from '../support/wire-bytes.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const [CREATED, FAILED] = [1, 2];

/** What the guests are asked: whatever of it they have. */
const LOOK = `#!/bin/sh
say() { echo "probe: $*" >/dev/console; }
say "nics=$(ls /sys/class/net | tr '\\n' ' ')"
say "modules=$(cat /lib/modules/5.10.77/hello 2>/dev/null || cat /data/hello 2>/dev/null)"
# Of the disk with the metadata the files lie at its beginning; in a whole one busybox's grep takes the zeros for one long line.
begin() { for disk in "$@"; do head -c 1048576 "$disk" 2>/dev/null; done | tr -d '\\0'; }
say "disk=$(begin /dev/vdb /dev/vdc | grep -a -o 'instance_id: [^ ]*' | head -n 1)"
say "vendor=$(begin /dev/vdc | grep -a -c 'multipart/mixed')"
say "route=$(ip route show default)"
say "address=$(ip -4 -o addr show dev eth1 | awk '{ print $4 }')"
say "resolv=$(tr '\\n' ' ' </etc/resolv.conf)"
# With a router that is not there nothing would answer for a long time.
ip route show default | grep -q 'via 10.77.0.9 ' || say "served=$(timeout 8 wget -q -O - http://169.254.169.254/latest/meta-data/instance_id 2>/dev/null || echo none)"
say "cmdline=$(cat /proc/cmdline)"
say end
`;

/** The images that a client asks for, of our own making: a kernel that needs no initrd, as the published ones. */
function imagesOn(host: TestHost, type: 0 | 1): RecordedWith {
  const files = { '/etc/flintlock/run': { mode: 0o755, content: LOOK } };
  return {
    kernel: `oci:${ROOT}/.cache/images/kernel:latest`,
    kernelFile: 'boot/vmlinux',
    root: makeImage({ layout: `${host.images}/root`, tag: 'v1', demo: true, files }),
    modules: makeImage({ layout: `${host.images}/modules`, tag: 'v1', files: { '/hello': 'of-the-image\n' } }),
    type,
  };
}

class Caller {
  readonly #client: grpc.Client;
  constructor(host: TestHost) {
    this.#client = new grpc.Client(`unix:${host.socket}`, grpc.credentials.createInsecure());
  }
  close(): void {
    this.#client.close();
  }
  call(method: string, request: Wire): Promise<Uint8Array> {
    const same = (bytes: Buffer): Buffer => bytes;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const path = `/microvm.services.api.v1alpha1.MicroVM/${method}`;
    const deadline = { deadline: Date.now() + 60_000 };
    this.#client.makeUnaryRequest(path, same, same, Buffer.from(wireBytes(request)), deadline, (error, answer) =>
      error ? reject(error) : resolve(answer ?? new Uint8Array()),
    );
    return promise;
  }
  async create(request: Wire): Promise<string> {
    const { microvm } = fromBinary(CreateMicroVMResponseSchema, await this.call('CreateMicroVM', request));
    expect(microvm?.status?.state).toBe(0);
    return microvm?.spec?.uid ?? '';
  }
  async get(uid: string): Promise<MicroVM | undefined> {
    return fromBinary(GetMicroVMResponseSchema, await this.call('GetMicroVM', byUid(uid))).microvm;
  }
  async list(request: Wire): Promise<readonly (string | undefined)[]> {
    const { microvm } = fromBinary(ListMicroVMsResponseSchema, await this.call('ListMicroVMs', request));
    return microvm.map(({ spec }) => spec?.uid);
  }
  /** As the clients do: it asks until it is CREATED. */
  async untilCreated(uid: string): Promise<MicroVM> {
    return poll(`${uid} is CREATED`, 120_000, async () => {
      const vm = await this.get(uid);
      if (vm?.status?.state === CREATED) return { is: vm };
      if (vm?.status?.state === FAILED) throw new Error(`it is FAILED: ${vm.status.message}`);
      return { not: `${vm?.status?.reason}: ${vm?.status?.message}` };
    });
  }
  async deleteUntilGone(uid: string): Promise<void> {
    await this.call('DeleteMicroVM', byUid(uid));
    await poll(`${uid} is not found`, 60_000, async () => {
      try {
        return { not: String((await this.get(uid))?.status?.message) };
      } catch (error) {
        const { code, message } = error as grpc.ServiceError;
        if (code === grpc.status.NOT_FOUND && message.includes(`microvm spec ${uid} not found`)) return { is: true };
        throw error;
      }
    });
  }
}

async function said(host: TestHost, uid: string): Promise<Record<string, string>> {
  await host.untilConsole(uid, /probe: end/, 240_000);
  const lines = (await host.console(uid)).matchAll(/probe: (\w+)=(.*?)\s*\r?\n/g);
  return Object.fromEntries([...lines].map(([, key = '', value = '']) => [key, value]));
}

test('hammertime’s and the Cluster API provider’s requests live on a parent’s network', {
  timeout: 400_000,
}, async (t) => {
  const host = await startHost(t, {
    flags: ['--managed-network', 'none', '--parent-iface', 'up0'],
    prepare: async (one) => {
      await one.tool('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
      for (const name of ['up0', 'up1']) await one.tool('ip', 'link', 'set', name, 'up');
    },
  });
  const caller = new Caller(host);
  t.onTestFinished(() => caller.close());
  const images = imagesOn(host, 0);

  const first = await caller.create(hammertimeCreate(images));
  const vm = await caller.untilCreated(first);
  expect(await caller.list(hammertimeList('ns0', 'mvm0'))).toEqual([first]);
  expect(vm.status?.networkInterfaces.eth1?.hostDeviceName).toMatch(/^fl/);
  const guest = await said(host, first);
  expect(guest).toMatchObject({
    nics: 'eth1 lo',
    modules: 'of-the-image',
    disk: 'instance_id: ns0/mvm0',
    served: 'none',
  });
  expect(guest.cmdline).toContain('network-config=');
  await caller.deleteUntilGone(first);

  const second = await caller.create(capmvmCreate(images));
  await caller.untilCreated(second);
  const node = await said(host, second);
  // The provider-id of a Kubernetes node is made of it, and must be the uid.
  expect(node).toMatchObject({ modules: 'of-the-image', disk: `instance_id: ${second}`, vendor: '1' });
  const link = await host.tool(
    'ip',
    '-d',
    'link',
    'show',
    (await caller.get(second))?.status?.networkInterfaces.eth1?.hostDeviceName ?? '',
  );
  expect(link).toMatch(/macvtap/);
  await caller.deleteUntilGone(second);
  expect(await caller.list(hammertimeList('', ''))).toEqual([]);
  expect(await host.audit()).toEqual(CLEAN);
});

test('fl’s request lives on the managed network, with an address of its own and a bridge of the host', {
  timeout: 400_000,
}, async (t) => {
  leaveToProofs(t); // the other life, and the recorded requests of fl's in test/foreign
  const host = await startHost(t, {
    prepare: async (one) => {
      await one.tool('ip', 'link', 'add', 'brx', 'type', 'bridge');
      await one.tool('ip', 'link', 'set', 'brx', 'up');
    },
  });
  const caller = new Caller(host);
  t.onTestFinished(() => caller.close());
  const images = imagesOn(host, 1);
  const nics: Wire = [
    [
      10,
      [
        [1, 'eth1'],
        [2, 1],
        [4, '2e:10:00:00:00:01'],
        [
          5,
          [
            [1, '10.77.0.60/24'],
            [2, '10.77.0.9/24'],
            [3, '10.77.0.53'],
            [3, '10.77.0.54'],
          ],
        ],
      ],
    ],
    [
      10,
      [
        [1, 'eth2'],
        [2, 1],
        [6, [[1, 'brx']]],
      ],
    ],
  ];
  const data: Wire = [
    [
      9,
      [
        [1, 'data'],
        [3, '/data'],
        [4, [[1, images.modules]]],
      ],
    ],
  ];
  const noBridge: Wire = [
    [
      10,
      [
        [1, 'eth2'],
        [2, 1],
        [6, [[1, 'nobr']]],
      ],
    ],
  ];
  await expect(caller.create(flCreate(images, noBridge))).rejects.toMatchObject({
    code: grpc.status.INVALID_ARGUMENT,
    details: expect.stringContaining('interfaces[0].overrides.bridge_name: There is no bridge nobr'),
  });

  const uid = await caller.create(flCreate(images, [...data, ...nics]));
  const vm = await caller.untilCreated(uid);
  const guest = await said(host, uid);
  expect(guest).toMatchObject({
    nics: 'eth1 eth2 lo',
    modules: 'of-the-image',
    disk: `instance_id: ${uid}`,
    address: '10.77.0.60/24',
    resolv: expect.stringMatching(/nameserver 10\.77\.0\.53 nameserver 10\.77\.0\.54/),
    route: expect.stringContaining('via 10.77.0.9'),
  });
  const { eth1, eth2 } = vm.status?.networkInterfaces ?? {};
  expect(await host.tool('ip', 'link', 'show', eth2?.hostDeviceName ?? '')).toContain('master brx');
  expect(await host.tool('ip', 'link', 'show', eth1?.hostDeviceName ?? '')).not.toContain('master brx');
  expect(vm.spec?.interfaces[0]?.address).toMatchObject({
    gateway: '10.77.0.9/24',
    nameservers: ['10.77.0.53', '10.77.0.54'],
  });
  await caller.deleteUntilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);

  // With the network's own router the service is reached, too.
  const plain = await caller.create(
    flCreate(images, [
      ...data,
      [
        10,
        [
          [1, 'eth1'],
          [2, 1],
          [5, [[1, '10.77.0.61/24']]],
        ],
      ],
    ]),
  );
  await caller.untilCreated(plain);
  expect(await said(host, plain)).toMatchObject({ disk: `instance_id: ${plain}`, served: plain });
  await caller.deleteUntilGone(plain);
});
