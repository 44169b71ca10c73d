import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startHost, type TestHost } from '../support/daemon.ts';
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
  sandboxCreate,
  unraidCreate,
} from '../support/recorded.ts';
import { entry, type Wire } from '../support/wire-bytes.ts';
import { type DropinVm, Grpcio, type RpcError } from './grpcio.ts';
import { idleImage, withImages } from './idle-image.ts';
import { PARENT, plugParent } from './parent.ts';

/**
 * The requests of today's clients, sent by gRPC's C core (Python's grpcio of
 * the distribution) with messages built from the server's own descriptions,
 * each through a real life: created, running, deleted, gone. grpcurl would be
 * another such client: Debian 12 has no package of it.
 *
 * The guests halt at once: what is expected inside of a guest is in
 * test/e2e/dropin.test.ts.
 */
const CLEAN = { leaked: [], missing: [], fixed: [] };
const ULID = /^[0-9A-HJKMNP-TV-Z]{26}$/;
const ALLOW_GUEST_AGENT = 17;
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZvcmVpZ24gY2xpZW50cyBvZiBvdXJzIGFyZSBrZXk= test@host';

/** As the clients name them; one image of ours stands for all. */
const NAMES = { kernel: 'registry/kernel:5.10.77', root: 'registry/root:1', modules: 'registry/modules:5.10.77' };
const FILES = { kernelFile: 'boot/vmlinux', type: 0 as const };
const MACVTAPS = { ...NAMES, ...FILES };
const FL = { ...MACVTAPS, kernelFile: 'vmlinux' };
const IMAGES = [...Object.values(NAMES), 'I', 'img'];
const where = { address: '192.168.100.7/24', gateway: '192.168.100.1/24' };
/** What fl builds of a host's name and a key. */
const flUserData = [
  'users:',
  ...['ubuntu', 'root'].flatMap((name) => [`- name: ${name}`, '  ssh_authorized_keys:', `  - ${KEY}`]),
];
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const metadata = (key: string, value: string): Wire => [[11, entry(key, value)]];
const spec = ([[, inner] = [0, []]]: Wire): Wire => (Array.isArray(inner) ? (inner as Wire) : []);

interface Life {
  readonly request: Wire;
  /** What comes back of the spec. */
  readonly spec: object;
  /** What of it does not. */
  readonly lacks?: readonly string[];
  /** By interface: what kind of device it has on the host, and where that is. */
  readonly nics?: Readonly<Record<string, RegExp>>;
  /** Lines of the disk from which the guest reads its metadata; UID stands for its uid. */
  readonly disk?: readonly string[];
}

const nic = (device_id: string, further: object = {}): object => ({ interfaces: [{ device_id, ...further }] });
const MACVTAP = /macvtap.*mode bridge/s;
const TAP = /tun.*type tap/s;

const LIVES: readonly (readonly [string, Life])[] = [
  [
    '2.1 hammertime create',
    {
      request: hammertimeCreate(MACVTAPS),
      spec: { id: 'mvm0', namespace: 'ns0', vcpu: 2, memory_in_mb: 2048, ...nic('eth1') },
      nics: { eth1: MACVTAP },
      disk: ['instance_id: ns0/mvm0', 'platform: liquid_metal', 'final_message: The Liquid Metal booted'],
    },
  ],
  [
    '2.1 hammertime create -n mvm1 --namespace ns1 -k key.pub',
    {
      request: [
        [
          1,
          [
            ...spec(hammertimeCreate(MACVTAPS, { id: 'mvm1', namespace: 'ns1' })),
            ...metadata(
              'user-data',
              base64(
                `#cloud-config\nhostname: mvm1\nusers:\n- name: root\n  ssh_authorized_keys:\n  - |-\n    |\n    ${KEY}\n`,
              ),
            ),
          ],
        ],
      ],
      spec: { id: 'mvm1', namespace: 'ns1', ...nic('eth1') },
      nics: { eth1: MACVTAP },
      disk: ['instance_id: ns1/mvm1', KEY],
    },
  ],
  [
    '2.2 fl microvm create, without an interface',
    {
      request: flCreate(FL),
      spec: { id: 'vm1', namespace: 'default', labels: { 'created-with': 'fl' } },
      lacks: ['interfaces'],
      disk: ['instance_id: UID', 'final_message: The fl booted'],
    },
  ],
  [
    '2.2 --network-interface eth1:tap',
    {
      request: flCreate(FL, flFlags['--network-interface eth1:tap']),
      spec: nic('eth1', { type: 1, guest_mac: '2e:10:00:00:00:01' }),
      nics: { eth1: TAP },
    },
  ],
  [
    '2.2 --network-interface eth2:macvtap::192.168.100.30/24',
    {
      request: flCreate(FL, flFlags['--network-interface eth2:macvtap::192.168.100.30/24']),
      spec: nic('eth2', { guest_mac: '2e:10:00:00:00:02', address: { address: '192.168.100.30/24' } }),
      nics: { eth2: MACVTAP },
      disk: ['192.168.100.30/24', '2e:10:00:00:00:02'],
    },
  ],
  [
    '2.2 --initrd-image, --initrd-filename',
    { request: flCreate(FL, flFlags['--initrd-image I --initrd-filename F']), spec: { initrd: { filename: 'F' } } },
  ],
  [
    '2.2 --container-volume data=img=/data',
    {
      request: flCreate(FL, flFlags['--container-volume data=img=/data']),
      spec: { additional_volumes: [{ id: 'data', mount_point: '/data' }] },
      disk: ['multipart/mixed', '- ["/dev/vdb","/data"]'],
    },
  ],
  [
    '2.2 --metadata-hostname, --metadata-ssh-key-file',
    {
      request: flCreate(FL, metadata('user-data', base64(`#cloud-config\nhostname: h\n${flUserData.join('\n')}\n`))),
      spec: { id: 'vm1' },
      disk: ['hostname: h', KEY],
    },
  ],
  [
    '2.2 --metadata-from-file meta-data=f: no base64',
    {
      request: flCreate(FL, flFlags['--metadata-from-file meta-data=f']),
      spec: { metadata: { 'meta-data': 'local_hostname: raw\n' } },
      disk: ['local_hostname: raw', 'instance_id: UID'],
    },
  ],
  [
    '2.2 --metadata-from-file meta-data=f: no base64 and no YAML',
    {
      request: flCreate(FL, metadata('meta-data', ': [ no YAML\n\t} at all')),
      spec: { metadata: { 'meta-data': ': [ no YAML\n\t} at all' } },
      disk: [': [ no YAML\n\t} at all'],
    },
  ],
  [
    '2.2 --name-autogenerate',
    { request: flCreate(FL, [[1, 'boring_snyder3']]), spec: { id: 'boring_snyder3' } }, // given again: the last one counts
  ],
  [
    '2.3 the Cluster API provider',
    {
      request: capmvmCreate(MACVTAPS),
      // The empty provider is the default one, and comes back as none.
      spec: {
        labels: { 'cluster-name': 'mvm-test' },
        ...nic('eth1', { guest_mac: '2a:76:d1:e0:64:15' }),
      },
      lacks: ['provider'],
      nics: { eth1: MACVTAP },
      disk: [
        ...['instance_id: UID', 'vm_host: 192.0.2.1:9090', 'kubeadm init'],
        ...['- name: ubuntu', '- ["/dev/vdb","/lib/modules/5.10.77"]'],
      ],
    },
  ],
  [
    '2.3 the Cluster API provider, with empty names of files',
    {
      request: [
        [
          1,
          [
            ...spec(capmvmCreate({ ...MACVTAPS, kernelFile: '' })),
            [
              7,
              [
                [1, 'I'],
                [2, ''],
              ],
            ],
          ],
        ],
      ],
      spec: { kernel: { add_network_config: true } },
      nics: { eth1: MACVTAP },
    },
  ],
  [
    '2.4 the microvm-operator: user-data that is no base64',
    {
      request: operatorCreate(MACVTAPS),
      spec: { metadata: { 'user-data': '#!/bin/bash\necho additional user data not supplied' } },
      lacks: ['provider'],
      nics: { eth1: MACVTAP },
      disk: ['#!/bin/bash\necho additional user data not supplied', 'instance_id: UID'],
    },
  ],
  [
    '2.5 the microvm-action-runner: an id like GitHub’s',
    {
      request: hammertimeCreate(MACVTAPS, { id: 'MDEwOlJlcG9zaXRvcnkxMjM0NTY3ODk=-4711-99', namespace: 'self-hosted' }),
      spec: { id: 'MDEwOlJlcG9zaXRvcnkxMjM0NTY3ODk=-4711-99', namespace: 'self-hosted' },
      nics: { eth1: MACVTAP },
    },
  ],
  [
    '2.6 acceptance-tests',
    {
      request: acceptanceCreate(MACVTAPS, where),
      spec: {
        vcpu: 1,
        kernel: { cmdline: { ds: 'nocloud' } },
        ...nic('eth1', { type: 1, guest_mac: 'aa:ff:00:00:00:01', address: where }),
      },
      nics: { eth1: TAP },
      disk: ['instance_id: run1-vm0', '192.168.100.7/24'],
    },
  ],
  [
    '2.8 firerunner: no file of the kernel, raw user-data, an interface eth0',
    {
      request: firerunnerCreate(MACVTAPS),
      spec: { metadata: { 'user-data': '#cloud-config\nruncmd: [echo hello]\n' }, ...nic('eth0') },
      nics: { eth0: MACVTAP },
      disk: ['runcmd: [echo hello]'],
    },
  ],
  [
    '2.8 devops-sandbox: no id, no interface',
    {
      request: sandboxCreate(MACVTAPS),
      spec: { namespace: 'sandbox', memory_in_mb: 512, id: expect.stringMatching(/./) },
      lacks: ['interfaces'],
    },
  ],
  [
    '2.8 unraid: a command line with a bare flag',
    {
      request: unraidCreate(MACVTAPS),
      spec: { kernel: { cmdline: { console: 'ttyS0', root: '/dev/vda', rw: '' } } },
    },
  ],
];

const ends: (() => unknown)[] = [];
let host: TestHost;
let client: Grpcio;
let image: string;

beforeAll(async () => {
  host = await startHost(
    { onTestFinished: (end) => void ends.push(end as () => unknown) },
    {
      flags: [...['--managed-network', '192.168.100.0/24', '--parent-iface', PARENT], ...['--max-memory', 'none']],
      prepare: plugParent,
    },
  );
  image = await idleImage(host.images);
  client = new Grpcio(host, { target: `unix:${host.socket}` });
});
afterAll(async () => {
  client?.[Symbol.dispose]();
  for (const end of ends) await end();
});

/** What a test leaves that has failed is not the next one's trouble. */
afterEach(async () => {
  for (const { spec: left } of await client.list([])) {
    await client.delete(left?.uid ?? '').catch(() => {}); // gone meanwhile
    await client.untilNotFound(left?.uid ?? '');
  }
});

const sent = (request: Wire): Wire => withImages(request, IMAGES, image);

/** Clients read these without a look: an answer without one ends them. */
function known({ spec: it, status }: DropinVm): string {
  expect(it?.uid).toMatch(ULID);
  expect(status).toBeDefined();
  return it?.uid ?? '';
}

async function untilGone(by: Grpcio, uid: string): Promise<void> {
  const { code, text } = await by.untilNotFound(uid);
  expect(code).toBe('NOT_FOUND');
  expect(text).toContain(`microvm spec ${uid} not found`);
}

/** What the guest is given on its disk; what is in base64 there is read, too. */
async function metadataDisk({ state }: TestHost, uid: string): Promise<string> {
  const disk = (await readFile(join(state, 'vm', uid, 'cidata.img'))).toString('latin1');
  const parts = disk.matchAll(/^Content-Transfer-Encoding: base64\n(?:.+\n)*\n((?:[\w+/=]+\n)+)/gm);
  return [disk, ...[...parts].map(([, part = '']) => Buffer.from(part, 'base64').toString())].join('\n');
}

/** From the request to the end of the microVM that it makes. */
async function live(
  on: TestHost,
  by: Grpcio,
  images: string,
  { request, spec: expected, lacks = [], nics = {}, disk = [] }: Life,
): Promise<void> {
  const created = await by.create(withImages(request, IMAGES, images));
  const uid = known(created);
  expect(created.status?.state ?? 0).toBe(0); // PENDING is 0, and not sent

  const vm = await by.untilCreated(uid);
  expect(known(vm)).toBe(uid);
  expect(vm.spec).toMatchObject(expected);
  for (const name of lacks) expect(vm.spec).not.toHaveProperty(name);
  const { namespace, id } = vm.spec as { namespace: string; id: string };
  const [listed, ...more] = await by.list(hammertimeList(namespace, id));
  expect([listed && known(listed), more]).toEqual([uid, []]);
  expect(listed?.spec).toMatchObject(expected);

  const devices = vm.status?.network_interfaces ?? {};
  expect(Object.keys(devices).sort()).toEqual(Object.keys(nics).sort());
  for (const [name, kind] of Object.entries(nics))
    expect(await on.tool('ip', '-d', 'link', 'show', devices[name]?.host_device_name ?? '')).toMatch(kind);
  if (disk.length > 0) {
    const written = await metadataDisk(on, uid);
    for (const line of disk) expect(written).toContain(line.replace('UID', uid));
  }

  expect(await by.delete(uid)).toEqual({}); // google.protobuf.Empty
  await untilGone(by, uid);
  await expect(by.delete(uid)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(await on.audit()).toEqual(CLEAN);
}

describe('a life', () => {
  test.each(LIVES)('%s', (_, life) => live(host, client, image, life));

  test('2.6 acceptance-tests, 2.7 battery’s template but for the agent: on a bridge of the host', async (t) => {
    const other = await startHost(t, {
      flags: ['--bridge-name', 'br0'],
      prepare: async (one) => {
        await one.tool('ip', 'link', 'add', 'br0', 'type', 'bridge');
        await one.tool('ip', 'link', 'set', 'br0', 'up');
      },
    });
    const own = await idleImage(other.images);
    using by = new Grpcio(other, { target: `unix:${other.socket}` });
    const nics = { eth1: /master br0.*tun.*type tap/s };
    await live(other, by, own, {
      request: acceptanceCreate(MACVTAPS, where),
      spec: nic('eth1', { address: where }),
      nics,
      disk: ['192.168.100.7/24', '192.168.100.1'],
    });
    await live(other, by, own, {
      request: [[1, spec(batteryCreate(FL)).filter(([tag]) => tag !== ALLOW_GUEST_AGENT)]],
      spec: { initrd: { filename: 'initrd-generic' }, ...nic('eth1', { address: { address: '192.168.100.30/32' } }) },
      nics,
    });
  });

  test('2.1 hammertime create -f spec.json: names of the wire, enums as numbers', async () => {
    const file = {
      id: 'mvm2',
      namespace: 'ns2',
      vcpu: 1,
      memory_in_mb: 1024,
      kernel: { image, filename: 'boot/vmlinux', add_network_config: true, cmdline: { quiet: '' } },
      root_volume: { id: 'root', source: { container_source: image } },
      interfaces: [
        { device_id: 'eth1', type: 1 },
        { device_id: 'eth2', type: 0 },
      ],
    };
    const uid = known(await client.create({ microvm: file }));
    const vm = await client.untilCreated(uid);
    expect(vm.spec).toMatchObject({ ...file, interfaces: [{ type: 1 }, { device_id: 'eth2' }] });
    expect(Object.keys(vm.status?.network_interfaces ?? {}).sort()).toEqual(['eth1', 'eth2']);
    await client.delete(uid);
    await untilGone(client, uid);
    expect(await host.audit()).toEqual(CLEAN);
  });
});

describe('what clients ask of microVMs', () => {
  test('get and list: by name, by namespace, all; several of one name in the order of their creation', async () => {
    const uids: string[] = [];
    for (const namespace of ['ns0', 'ns0', 'ns1'])
      uids.push(known(await client.create(sent(hammertimeCreate(MACVTAPS, { namespace })))));
    const [first, second, third] = uids;
    const found = async (request: Wire): Promise<readonly string[]> => (await client.list(request)).map(known);
    expect(await found(hammertimeList('ns0', 'mvm0'))).toEqual([first, second]);
    expect(await found(hammertimeList('ns1', 'mvm0'))).toEqual([third]);
    expect(await found(hammertimeList('', ''))).toEqual(uids);
    expect(await found([])).toEqual(uids);
    expect(await found([[1, 'ns0']])).toEqual([first, second]); // fl microvm get --namespace ns0
    expect(await found(hammertimeList('ns0', 'other'))).toEqual([]);
    expect(await found([[1, 'health-check']])).toEqual([]); // firerunner's Health
    const { answer } = await client.call<{ microvm: DropinVm }[]>('ListMicroVMsStream', [], { stream: true });
    expect(answer.map(({ microvm }) => known(microvm))).toEqual(uids);

    // One uid never touches another of the same name.
    await client.delete(first ?? '');
    expect(await client.delete(first ?? '').catch(({ code }: RpcError) => code)).toSatisfy(
      (again: unknown) => again === 'NOT_FOUND' || JSON.stringify(again) === '{}',
    );
    await untilGone(client, first ?? '');
    expect(await found(hammertimeList('', ''))).toEqual([second, third]);
    // hammertime delete --all: what is DELETING may be listed for a while
    for (const uid of await found(hammertimeList('', ''))) await client.delete(uid);
    for (const { status } of await client.list(hammertimeList('', ''))) expect(status?.state).toBe(3);
    for (const uid of [second, third]) await untilGone(client, uid ?? '');
    expect(await found(hammertimeList('', ''))).toEqual([]);
    expect(await host.audit()).toEqual(CLEAN);
  });

  test.each([
    ['GetMicroVM', 'foobar', 'NOT_FOUND', 'microvm spec foobar not found'],
    ['DeleteMicroVM', 'foobar', 'NOT_FOUND', 'microvm spec foobar not found'],
    ['GetMicroVM', 'gitlab/runner-2', 'NOT_FOUND', 'microvm spec gitlab/runner-2 not found'],
    ['GetMicroVM', '', 'INVALID_ARGUMENT', 'not found'],
    ['DeleteMicroVM', '', 'INVALID_ARGUMENT', 'not found'],
  ])('%s of "%s" is %s and says "%s"', async (method, uid, code, text) => {
    await expect(client.call(method, byUid(uid))).rejects.toMatchObject({ code, text: expect.stringContaining(text) });
  });

  test('firerunner names a microVM by its namespace and id', async () => {
    const uid = known(await client.create(sent(firerunnerCreate(MACVTAPS))));
    expect(known(await client.get('gitlab/runner-1'))).toBe(uid);
    await client.untilCreated(uid);
    expect(await client.delete('gitlab/runner-1')).toEqual({});
    await untilGone(client, uid);
  });

  test.each<[string, Wire, RegExp]>([
    [
      '2.7 battery’s smallest template',
      [
        [
          1,
          [
            [4, 1],
            [5, 1024],
            [17, true],
          ],
        ],
      ],
      /root_volume/,
    ],
    [
      '2.2 fl --virtiofs-volume share=/srv/share=/mnt/share',
      flCreate(FL, flFlags['--virtiofs-volume share=/srv/share=/mnt/share']),
      /additional_volumes\[0\]\.source\.virtiofs_source/,
    ],
  ])('%s is refused at once, by the name of what there is not', async (_, request, field) => {
    await expect(client.create(sent(request))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: expect.stringMatching(field),
    });
    expect(await client.list([])).toEqual([]);
    expect(await host.audit()).toEqual(CLEAN);
  });

  test('2.7 battery asks what the host has, and gets an answer', async () => {
    await client.raw('/microvm.services.api.v1alpha1.MicroVM/ServerInfo');
  });
});
