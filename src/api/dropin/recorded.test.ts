import { fromBinary } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import * as grpc from '@grpc/grpc-js';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startApi, type TestApi } from '../../../test/support/api.ts';
import { FakeHost } from '../../../test/support/fake-host.ts';
import {
  acceptanceCreate,
  batteryCreate,
  byUid,
  capmvmCreate,
  firerunnerCreate,
  flCreate,
  flFlags,
  hammertimeCreate,
  hammertimeList,
  operatorCreate,
  type RecordedWith,
  sandboxCreate,
  unraidCreate,
} from '../../../test/support/recorded.ts';
import { entry, type Wire, wireBytes } from '../../../test/support/wire-bytes.ts';
import type { Uid } from '../../domain/microvm.ts';
import {
  CreateMicroVMResponseSchema,
  GetMicroVMResponseSchema,
  ListMessageSchema,
  ListMicroVMsResponseSchema,
  ServerInfoResponseSchema,
} from '../../gen/dropin/services/microvms_pb.ts';
import { type MicroVM, MicroVMSpecSchema } from '../../gen/dropin/types/microvm_pb.ts';
import { formatEndpoint } from '../endpoint.ts';

/** A foreign client on the wire: bytes out, bytes in. */
class Wirer {
  readonly api: TestApi;
  readonly host: FakeHost;
  readonly #client: grpc.Client;

  constructor(api: TestApi, host: FakeHost) {
    this.api = api;
    this.host = host;
    this.#client = new grpc.Client(formatEndpoint(api.grpc), grpc.credentials.createInsecure());
    onTestFinished(() => this.#client.close());
  }

  call(
    method: string,
    request: Wire,
    service = 'microvm.services.api.v1alpha1.MicroVM',
    metadata = new grpc.Metadata(),
  ): Promise<Uint8Array> {
    const same = (bytes: Buffer): Buffer => bytes;
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const bytes = Buffer.from(wireBytes(request));
    this.#client.makeUnaryRequest(`/${service}/${method}`, same, same, bytes, metadata, (error, answer) =>
      error ? reject(error) : resolve(answer ?? new Uint8Array()),
    );
    return promise;
  }

  async create(request: Wire): Promise<Known> {
    return known(fromBinary(CreateMicroVMResponseSchema, await this.call('CreateMicroVM', request)).microvm);
  }
  async get(uid: string): Promise<Known> {
    return known(fromBinary(GetMicroVMResponseSchema, await this.call('GetMicroVM', byUid(uid))).microvm);
  }
  async delete(uid: string): Promise<void> {
    fromBinary(EmptySchema, await this.call('DeleteMicroVM', byUid(uid)));
  }
  async list(request: Wire): Promise<readonly Known[]> {
    return fromBinary(ListMicroVMsResponseSchema, await this.call('ListMicroVMs', request)).microvm.map(known);
  }
}

/** What clients take for granted in every answer: they read it without a look. */
interface Known extends MicroVM {
  readonly uid: string;
  readonly state: number;
}

function known(vm: MicroVM | undefined): Known {
  if (!vm?.spec?.uid || !vm.status) throw new Error(`the answer lacks spec, uid or status: ${JSON.stringify(vm)}`);
  return { ...vm, uid: vm.spec.uid, state: vm.status.state };
}

const [PENDING, CREATED, DELETING] = [0, 1, 3];
const NOT_FOUND = { code: grpc.status.NOT_FOUND };
const INVALID = { code: grpc.status.INVALID_ARGUMENT };

/** The daemon's whole, but for a host in memory, with a bridge that somebody else made. */
async function start(context: ConstructorParameters<typeof FakeHost>[0] = {}): Promise<Wirer> {
  const host = new FakeHost({
    ...context,
    context: {
      ...context.context,
      capacity: async () => ({
        capacity: { vcpu: 64, memoryInMb: 65_536, diskInMb: 100_000 },
        used: { vcpu: 0, memoryInMb: 0, diskInMb: 0 },
        diskIsMemory: false,
        notes: [],
      }),
    },
  });
  return new Wirer(await startApi(host.life.services), host);
}

const images: RecordedWith = {
  kernel: 'ghcr.io/weaveworks-liquidmetal/kernel-bin:5.10.77',
  kernelFile: 'boot/vmlinux',
  root: 'ghcr.io/weaveworks-liquidmetal/capmvm-k8s-os:1.23.5',
  modules: 'ghcr.io/weaveworks-liquidmetal/kernel-modules:5.10.77',
  type: 0,
};

let client: Wirer;
beforeEach(async () => {
  client = await start();
});

async function lifeOf(vm: Known): Promise<void> {
  const uid = vm.uid as Uid;
  expect(uid).toMatch(/^[0-9A-Z]{26}$/);
  expect(vm.state).toBe(PENDING);
  await client.host.until(uid, 'CREATED');
  expect(await client.get(uid)).toMatchObject({ uid, state: CREATED });
  client.host.world.always('undo vmm', () => new Promise(() => undefined));
  await client.delete(uid);
  expect(await client.get(uid)).toMatchObject({ uid, state: DELETING });
  expect((await client.list([])).map((one) => one.state)).toEqual([DELETING]);
  await client.delete(uid); // a second time while DELETING: no harm
}

describe('hammertime (2.1)', () => {
  test('create: all of it is there in the answer, and the life goes on to its end', async () => {
    const vm = await client.create(hammertimeCreate(images));
    expect(vm.spec).toMatchObject({
      id: 'mvm0',
      namespace: 'ns0',
      vcpu: 2,
      memoryInMb: 2048,
      kernel: { image: images.kernel, filename: 'boot/vmlinux', addNetworkConfig: true, cmdline: {} },
      rootVolume: { id: 'root', source: { containerSource: images.root } },
      additionalVolumes: [
        { id: 'modules', mountPoint: '/lib/modules/5.10.77', source: { containerSource: images.modules } },
      ],
      interfaces: [{ deviceId: 'eth1', type: 0 }],
    });
    expect(Object.keys(vm.spec?.metadata ?? {})).toEqual(['meta-data', 'user-data']);
    await lifeOf(vm);
  });

  test('create -n -k -t: the header is taken, also where nobody asks for one', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', 'Basic c2VjcmV0');
    const request = hammertimeCreate(images, { id: 'mvm1', namespace: 'ns1' });
    await client.call('CreateMicroVM', request, undefined, metadata);
    expect(await client.list(hammertimeList('ns1', 'mvm1'))).toHaveLength(1);
  });

  test('get: by name; none, one, and several with one name, in the order of their creation', async () => {
    expect(await client.list(hammertimeList('ns0', 'mvm0'))).toEqual([]);
    const first = await client.create(hammertimeCreate(images));
    await client.create(hammertimeCreate(images, { id: 'other' }));
    const second = await client.create(hammertimeCreate(images));
    const third = await client.create(hammertimeCreate(images, { namespace: 'ns1' }));
    const uids = async (namespace: string, name: string): Promise<readonly string[]> =>
      (await client.list(hammertimeList(namespace, name))).map(({ uid }) => uid);
    expect(await uids('ns0', 'mvm0')).toEqual([first.uid, second.uid]);
    expect(await uids('', 'mvm0')).toEqual([first.uid, second.uid, third.uid]);
    expect(await uids('', '')).toHaveLength(4);
    expect(await uids('ns1', '')).toEqual([third.uid]);
  });

  test('get -i foobar fails, with the code and the words that clients look for', async () => {
    await expect(client.get('foobar')).rejects.toMatchObject({
      ...NOT_FOUND,
      message: expect.stringContaining('microvm spec foobar not found'),
    });
    await expect(client.delete('foobar')).rejects.toMatchObject({
      ...NOT_FOUND,
      message: expect.stringContaining('microvm spec foobar not found'),
    });
  });

  test('delete -i, and delete --all: one uid never touches another of the same name', async () => {
    const [a, b] = [await client.create(hammertimeCreate(images)), await client.create(hammertimeCreate(images))];
    await client.delete(a.uid);
    await client.host.until(a.uid as Uid, 'gone');
    await expect(client.get(a.uid)).rejects.toMatchObject(NOT_FOUND);
    expect(await client.get(b.uid)).toMatchObject({ uid: b.uid });
    for (const { uid } of await client.list(hammertimeList('', ''))) await client.delete(uid);
    await client.host.until(b.uid as Uid, 'gone');
    expect(await client.list(hammertimeList('', ''))).toEqual([]);
    await expect(client.delete(b.uid)).rejects.toMatchObject(NOT_FOUND);
  });
});

describe('fl (2.2)', () => {
  test('create without an interface: none is taken for none; labels come back', async () => {
    const vm = await client.create(flCreate(images));
    expect(vm.spec).toMatchObject({
      labels: { 'created-with': 'fl' },
      interfaces: [],
      rootVolume: { id: 'root', mountPoint: '/' },
    });
    expect((await client.list([]))[0]?.spec?.labels).toEqual({ 'created-with': 'fl' });
    await lifeOf(vm);
  });

  test('--network-interface eth1:tap: the MAC that fl made is the one', async () => {
    const vm = await client.create(flCreate(images, flFlags['--network-interface eth1:tap']));
    expect(vm.spec?.interfaces).toMatchObject([{ deviceId: 'eth1', type: 1, guestMac: '2e:10:00:00:00:01' }]);
    expect(client.host.vm(vm.uid as Uid).allocation.interfaces.eth1?.mac).toBe('2e:10:00:00:00:01');
  });

  test('--initrd-image, --container-volume', async () => {
    const further = [
      ...flFlags['--initrd-image I --initrd-filename F'],
      ...flFlags['--container-volume data=img=/data'],
    ];
    const vm = await client.create(flCreate(images, further));
    expect(vm.spec).toMatchObject({
      initrd: { image: 'I', filename: 'F' },
      additionalVolumes: [{ id: 'data', mountPoint: '/data', source: { containerSource: 'img' } }],
    });
  });

  test('--virtiofs-volume is refused by the name of its field, and nothing is made', async () => {
    const request = flCreate(images, flFlags['--virtiofs-volume share=/srv/share=/mnt/share']);
    await expect(client.create(request)).rejects.toMatchObject({
      ...INVALID,
      details: expect.stringMatching(/additional_volumes\[0\]\.source\.virtiofs_source.*not built yet/),
    });
    expect(await client.list([])).toEqual([]);
  });

  test('--metadata-from-file: a value that is no base64 is taken, and comes back as it was', async () => {
    const vm = await client.create(flCreate(images, flFlags['--metadata-from-file meta-data=f']));
    expect(vm.spec?.metadata['meta-data']).toBe('local_hostname: raw\n');
  });

  test('--name-autogenerate: a name with an underscore', async () => {
    const request = flCreate(images, [[1, 'boring_snyder3']]); // given again: the last one counts
    expect((await client.create(request)).spec?.id).toBe('boring_snyder3');
  });

  test('get: by namespace and by uid', async () => {
    const vm = await client.create(flCreate(images));
    expect((await client.list([[1, 'default']])).map(({ uid }) => uid)).toEqual([vm.uid]);
    expect(await client.list([[1, 'elsewhere']])).toEqual([]);
  });
});

describe('the Cluster API provider and the operator (2.3, 2.4)', () => {
  test('create: an empty provider is the default one', async () => {
    const vm = await client.create(capmvmCreate(images));
    expect(vm.spec).toMatchObject({
      labels: { 'cluster-name': 'mvm-test' },
      interfaces: [{ deviceId: 'eth1', guestMac: '2a:76:d1:e0:64:15' }],
    });
    expect(Object.keys(vm.spec?.metadata ?? {})).toEqual(['user-data', 'vendor-data', 'meta-data']);
    await lifeOf(vm);
  });

  test('what was never created is asked for with an empty uid: it reads "not found" and lets go', async () => {
    for (const method of ['GetMicroVM', 'DeleteMicroVM'])
      await expect(client.call(method, byUid(''))).rejects.toMatchObject({
        ...INVALID,
        message: expect.stringContaining('not found'),
      });
  });

  test('the operator: user-data that is no base64, and no provider', async () => {
    const vm = await client.create(operatorCreate(images));
    expect(vm.spec?.metadata['user-data']).toMatch(/^#!\/bin\/bash/);
    expect(vm.spec?.provider).toBeUndefined();
    await lifeOf(vm);
  });
});

test('microvm-action-runner (2.5): an id like GitHub’s, found by name and deleted', async () => {
  const id = 'MDEwOlJlcG9zaXRvcnkxMjM0NTY3ODk=-4711-99';
  const vm = await client.create(hammertimeCreate(images, { id, namespace: 'self-hosted' }));
  const [first] = await client.list(hammertimeList('self-hosted', id));
  expect(first?.uid).toBe(vm.uid);
  await client.delete(first?.uid ?? '');
  await client.host.until(vm.uid as Uid, 'gone');
});

describe('acceptance-tests (2.6)', () => {
  const where = { address: '192.168.100.7/24', gateway: '192.168.100.1/24' };

  test('a static address with a gateway that has a prefix, and a command line', async () => {
    client = await start({ context: { network: undefined, bridge: 'br0' } });
    const vm = await client.create(acceptanceCreate(images, where));
    expect(vm.spec).toMatchObject({
      kernel: { cmdline: { ds: 'nocloud' } },
      interfaces: [{ type: 1, guestMac: 'aa:ff:00:00:00:01', address: { ...where, nameservers: [] } }],
    });
  });

  test('fl’s static address on a bridge of others', async () => {
    client = await start({ context: { network: undefined, bridge: 'br0' } });
    const nic: Wire = [
      [
        10,
        [
          [1, 'eth2'],
          [2, 1],
          [4, '2e:10:00:00:00:02'],
          [5, [[1, '192.168.100.30/24']]],
        ],
      ],
    ];
    const { spec } = await client.create(flCreate(images, nic));
    expect(spec?.interfaces[0]?.address).toMatchObject({ address: '192.168.100.30/24' });
    expect(spec?.interfaces[0]?.address?.gateway).toBeUndefined();
  });

  test('the guest agent is let in where that is asked for, and it is told back', async () => {
    client = await start({ context: { network: undefined, bridge: 'br0' } });
    const { spec } = await client.create(acceptanceCreate(images, { ...where, agent: true }));
    expect(spec?.allowGuestAgent).toBe(true);
  });
});

describe('battery (2.7)', () => {
  test('gets a guest with an agent, and is told at once what is missing', async () => {
    client = await start({ context: { network: undefined, bridge: 'br0' } });
    expect((await client.create(batteryCreate(images))).spec?.allowGuestAgent).toBe(true);
    await expect(
      client.create([
        [
          1,
          [
            [4, 1],
            [5, 1024],
          ],
        ],
      ]),
    ).rejects.toMatchObject({
      ...INVALID,
      details: expect.stringMatching(/kernel: .*root_volume: /),
    });
    const { version, uptime, exec, sshProxy } = fromBinary(
      ServerInfoResponseSchema,
      await client.call('ServerInfo', []),
    );
    // Without what stands behind its plus it is no older than battery takes.
    expect(version?.version).toMatch(/^v0\.15\.2\+flintlock\.\d/);
    expect([uptime !== undefined, exec?.enabled, sshProxy?.enabled]).toEqual([true, true, true]);
  });

  test('asks for what was deleted until it is NOT_FOUND', async () => {
    const vm = await client.create(flCreate(images));
    await client.delete(vm.uid);
    await client.host.until(vm.uid as Uid, 'gone');
    await expect(client.delete(vm.uid)).rejects.toMatchObject(NOT_FOUND);
  });
});

describe('firerunner, devops-sandbox, unraid (2.8)', () => {
  test('no file of the kernel, raw user-data, and `namespace/id` for a uid where it is that of one microVM', async () => {
    const vm = await client.create(firerunnerCreate(images));
    expect(await client.get('gitlab/runner-1')).toMatchObject({ uid: vm.uid });
    expect(await client.list([[1, 'health-check']])).toEqual([]);
    await expect(client.get('gitlab/runner-2')).rejects.toMatchObject({
      ...NOT_FOUND,
      message: expect.stringContaining('microvm spec gitlab/runner-2 not found'),
    });
    const twin = await client.create(firerunnerCreate(images));
    for (const method of ['GetMicroVM', 'DeleteMicroVM'])
      await expect(client.call(method, byUid('gitlab/runner-1'))).rejects.toMatchObject({
        code: grpc.status.FAILED_PRECONDITION,
        details: expect.stringContaining(twin.uid),
      });
    await client.delete(twin.uid);
    await client.host.until(twin.uid as Uid, 'gone');
    await client.delete('gitlab/runner-1');
    await client.host.until(vm.uid as Uid, 'gone');
    for (const odd of ['/', 'gitlab/', '/x', 'a/b/c']) await expect(client.get(odd)).rejects.toMatchObject(NOT_FOUND);
  });

  test('no id, 512 MiB, no interface', async () => {
    const { spec } = await client.create(sandboxCreate(images));
    expect(spec).toMatchObject({
      namespace: 'sandbox',
      memoryInMb: 512,
      interfaces: [],
      id: expect.stringMatching(/./),
    });
  });

  test('a command line with a bare flag', async () => {
    const { spec, uid } = await client.create(unraidCreate(images));
    expect(spec?.kernel?.cmdline).toEqual({ console: 'ttyS0', root: '/dev/vda', rw: '' });
    expect(client.host.vm(uid as Uid).spec.kernel.cmdline).toBe('console=ttyS0 root=/dev/vda rw');
  });
});

describe('the wire', () => {
  test('unknown fields are passed over; an interface of type 0 was said to be a MACVTAP', async () => {
    expect(
      (
        await client.create(
          flCreate(images, [
            [19, 'of a later version'],
            [900, 1],
          ]),
        )
      ).state,
    ).toBe(PENDING);
    const bytes = wireBytes([[10, [[1, 'eth1']]]]);
    expect(fromBinary(MicroVMSpecSchema, bytes).interfaces).toMatchObject([{ deviceId: 'eth1', type: 0 }]);
  });

  test('without a spec, or with fields that the daemon alone sets, it is refused', async () => {
    await expect(client.create([])).rejects.toMatchObject(INVALID);
    await expect(client.create(flCreate(images, [[15, 'MINE']]))).rejects.toMatchObject({
      ...INVALID,
      details: expect.stringContaining('uid'),
    });
  });

  test('what is wrong has the names of this API', async () => {
    const volume = (id: string): Wire => [[1, id]];
    const request: Wire = [
      [
        1,
        [
          [
            6,
            [
              [1, 'k'],
              [2, entry('a b', 'c')],
            ],
          ],
          [8, volume('r')],
          [9, volume('x y')],
          [
            10,
            [
              [1, '0'],
              [2, 1],
            ],
          ],
        ],
      ],
    ];
    const error = await client.create(request).catch((reason: unknown) => reason as grpc.ServiceError);
    const details = 'details' in error ? error.details : '';
    for (const field of [
      'kernel.cmdline[a b]:',
      'root_volume.source.container_source:',
      'additional_volumes[0].id:',
      'additional_volumes[0].source.container_source:',
      'interfaces[0].device_id:',
    ])
      expect(details).toContain(field);
    expect(details).not.toMatch(/(?<!additional_)volumes\[|guest_device_name|is_root/);
  });

  test('a long list comes as a stream, too', async () => {
    for (let i = 0; i < 3; i++) await client.create(sandboxCreate(images));
    const same = (bytes: Buffer): Buffer => bytes;
    const raw = new grpc.Client(formatEndpoint(client.api.grpc), grpc.credentials.createInsecure());
    onTestFinished(() => raw.close());
    const path = '/microvm.services.api.v1alpha1.MicroVM/ListMicroVMsStream';
    const uids: unknown[] = [];
    for await (const bytes of raw.makeServerStreamRequest(path, same, same, Buffer.from(wireBytes([[1, 'sandbox']]))))
      uids.push(fromBinary(ListMessageSchema, bytes).microvm?.spec?.uid);
    expect(uids).toEqual((await client.list([])).map(({ uid }) => uid));
    expect(uids).toHaveLength(3);
  });
});

/** A spec of the native API: as the seed's clients send it. */
const nativeSpec = (further: Wire): Wire => [
  [
    1,
    [
      [1, 'a'],
      [
        6,
        [
          [1, 'k'],
          [2, 'quiet panic=1'],
        ],
      ],
      [7, [[1, 'i']]],
      ...further,
    ],
  ],
];
const NATIVE = 'flintlock.microvm.v1.MicroVMService';
const nativeRoot: Wire = [
  [1, 'root'],
  [2, true],
  [5, [[1, 'oci:/images:root']]],
];

describe('fields with another API’s tags', () => {
  test.each<[string, Wire]>([
    ['a root volume', [[8, nativeRoot]]],
    ['a root volume that is mounted at /', [[8, [...nativeRoot, [4, '/']]]]],
    [
      'two volumes',
      [
        [8, nativeRoot],
        [
          8,
          [
            [1, 'data'],
            [4, '/data'],
            [5, [[1, 'i']]],
          ],
        ],
      ],
    ],
    ['a volume with a size', [[8, [...nativeRoot, [7, 100]]]]],
    ['a volume with a partition', [[8, [...nativeRoot, [6, '0d6ea8ab-0000-4000-8000-000000000001']]]]],
    [
      'an interface',
      [
        [
          9,
          [
            [1, 'eth0'],
            [2, 1],
          ],
        ],
      ],
    ],
    [
      'an interface that may ask for metadata',
      [
        [
          9,
          [
            [1, 'eth0'],
            [2, 1],
            [3, true],
          ],
        ],
      ],
    ],
    [
      'an interface with a MAC and an address',
      [
        [
          9,
          [
            [1, 'eth0'],
            [2, 1],
            [4, '02:00:00:00:00:01'],
            [5, '10.0.0.2'],
          ],
        ],
      ],
    ],
    ['metadata', [[10, entry('user-data', 'eA==')]]],
    ['a command line alone', []],
    ['a provider', [[21, 'qemu']]],
    ['a restart policy', [[22, 1]]],
  ])('%s of the native API is refused here, and nothing is made', async (_, further) => {
    const call = client.call('CreateMicroVM', nativeSpec(further));
    await expect(call).rejects.toMatchObject({ ...INVALID, details: expect.stringMatching(/./) });
    expect(await client.list([])).toEqual([]);
  });

  test('the error says what was mistaken', async () => {
    for (const further of [[[8, nativeRoot]], [[8, [...nativeRoot, [4, '/']]]], [[10, entry('a', 'b')]]] as const)
      await expect(client.call('CreateMicroVM', [[1, [[6, [[1, 'k']]], ...further]]])).rejects.toMatchObject({
        details: expect.stringMatching(/call (that service|the service that)/),
      });
  });

  test.each<[string, Wire]>([
    ['hammertime’s', hammertimeCreate(images)],
    ['fl’s', flCreate(images)],
    ['the Cluster API provider’s', capmvmCreate(images)],
    ['the operator’s', operatorCreate(images)],
    ['firerunner’s', firerunnerCreate(images)],
    ['a sandbox’s', sandboxCreate(images)],
    ['a command line’s', unraidCreate(images)],
    ['a virtual address’s', acceptanceCreate(images, { address: '10.0.0.2/24', gateway: '10.0.0.1' })],
    [
      'one without volumes',
      [
        [
          1,
          [
            [
              6,
              [
                [1, 'k'],
                [2, entry('a', 'b')],
              ],
            ],
            [7, [[1, 'i']]],
          ],
        ],
      ],
    ],
    [
      'interfaces alone',
      [
        [
          1,
          [
            [6, [[1, 'k']]],
            [7, [[1, 'i']]],
            [
              10,
              [
                [1, 'eth1'],
                [2, 1],
              ],
            ],
          ],
        ],
      ],
    ],
    [
      'an interface of the default type',
      [
        [
          1,
          [
            [6, [[1, 'k']]],
            [7, [[1, 'i']]],
            [10, [[1, 'eth1']]],
          ],
        ],
      ],
    ],
    [
      'metadata alone',
      [
        [
          1,
          [
            [6, [[1, 'k']]],
            [7, [[1, 'i']]],
            [11, entry('user-data', 'eA==')],
          ],
        ],
      ],
    ],
    [
      'a uid',
      [
        [
          1,
          [
            [6, [[1, 'k']]],
            [7, [[1, 'i']]],
            [15, 'x'],
          ],
        ],
      ],
    ],
  ])('%s request is refused by the native service, and nothing is made', async (_, request) => {
    await expect(client.call('CreateMicroVM', request, NATIVE)).rejects.toMatchObject(INVALID);
    expect(client.host.life.store.count()).toBe(0);
  });

  test('an unknown service or method is UNIMPLEMENTED', async () => {
    const unimplemented = { code: grpc.status.UNIMPLEMENTED };
    await expect(client.call('WatchMicroVMs', [])).rejects.toMatchObject(unimplemented);
    await expect(client.call('GetMicroVM', [], 'microvm.services.api.v1beta1.MicroVM')).rejects.toMatchObject(
      unimplemented,
    );
  });
});
