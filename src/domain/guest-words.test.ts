import { expect, test } from 'vitest';
import { diskName, guestWords, identityWords, machineId } from './guest-words.ts';
import { networkConfig } from './network-config.ts';
import type { Spec, VolumeSpec } from './spec.ts';

const interfaces: Spec['interfaces'] = [];
const kernel = { image: 'k', cmdline: '', addNetworkConfig: false };
const volume = (id: string, change: Partial<VolumeSpec> = {}): VolumeSpec => ({
  ...{ id, isRoot: false, isReadOnly: false, mountPoint: '', image: 'i' },
  ...change,
});
const root = volume('root', { isRoot: true });
const nic = (name: string, n = 1) => ({ name, mac: `02:00:00:00:00:0${n}` });

test('a simple guest is told nothing', () => {
  expect(guestWords({ kernel, interfaces, volumes: [root, volume('data')] }, [nic('eth0'), nic('eth1', 2)])).toEqual(
    [],
  );
  expect(guestWords({ kernel, interfaces, volumes: [{ ...root, mountPoint: '/' }] }, [])).toEqual([]);
});

test('a mount names the disk by its place, and its partition', () => {
  const volumes = [
    root,
    volume('plain'),
    volume('data', { mountPoint: '/data' }),
    volume('part', { mountPoint: '/part', partitionId: 'p', isReadOnly: true }),
  ];
  expect(guestWords({ kernel, interfaces, volumes }, [])).toEqual([
    'flintlock.mount=vdc:/data',
    'flintlock.mount=vdd1:/part:ro',
  ]);
});

test('without a root the first disk is vda', () => {
  expect(guestWords({ kernel, interfaces, volumes: [volume('d', { mountPoint: '/d' })] }, [])).toEqual([
    'flintlock.mount=vda:/d',
  ]);
});

test('a directory comes before what lies in it', () => {
  const paths = ['/a/b/c', '/a-b', '/a/b', '/a'];
  const volumes = paths.map((mountPoint, i) => volume(`v${i}`, { mountPoint }));
  const order = guestWords({ kernel, interfaces, volumes }, []).map((word) => word.split(':')[1] ?? '');
  expect(order.toSorted()).toEqual(paths.toSorted());
  for (const path of paths)
    for (const inner of paths.filter((other) => other.startsWith(`${path}/`)))
      expect(order.indexOf(path)).toBeLessThan(order.indexOf(inner));
});

test('a path is one word whatever is in it, and can be read back', () => {
  const mountPoint = `/a b/"c"/d:ro/%41/*?'(!)/größe/e,f`;
  const [word = ''] = guestWords({ kernel, interfaces, volumes: [volume('v', { mountPoint })] }, []);
  expect(word).toMatch(/^flintlock\.mount=vda:[A-Za-z0-9%/._~-]+$/);
  expect(decodeURIComponent(word.split(':')[1] ?? '')).toBe(mountPoint);
});

test('one name that the kernel would not give makes a word for each interface', () => {
  expect(guestWords({ kernel, interfaces, volumes: [] }, [nic('eth1', 1), nic('eth0', 2)])).toEqual([
    'flintlock.nic=02:00:00:00:00:01,eth1',
    'flintlock.nic=02:00:00:00:00:02,eth0',
  ]);
  expect(guestWords({ kernel, interfaces, volumes: [] }, [nic('eth0', 1), nic('lan', 2)])).toHaveLength(2);
});

test('an address is told with all that belongs to it', () => {
  const words = (fixed: { address: string; gateway?: string; dns: readonly string[] }) =>
    guestWords({ kernel, interfaces, volumes: [] }, [{ ...nic('eth0'), fixed }]);
  const start = 'flintlock.nic=02:00:00:00:00:01,eth0,10.0.0.2/24';
  expect(words({ address: '10.0.0.2/24', gateway: '10.0.0.1', dns: ['1.1.1.1', '9.9.9.9'] })).toEqual([
    `${start},10.0.0.1,1.1.1.1,9.9.9.9`,
  ]);
  expect(words({ address: '10.0.0.2/24', dns: ['1.1.1.1'] })).toEqual([`${start},,1.1.1.1`]);
  expect(words({ address: '10.0.0.2/24', dns: [] })).toEqual([start]);
});

test("cloud-init's network is in base64", () => {
  const nics = [nic('eth0'), nic('lan', 2)];
  const [word = ''] = guestWords({ interfaces, kernel: { ...kernel, addNetworkConfig: true }, volumes: [] }, [
    nic('eth0'),
  ]);
  expect(word).toBe(`network-config=${btoa(networkConfig([nic('eth0')]))}`);
  expect(guestWords({ interfaces, kernel: { ...kernel, addNetworkConfig: true }, volumes: [] }, nics)).toHaveLength(3);
});

test('disks are named in the order of the alphabet', () => {
  expect([0, 1, 22].map(diskName)).toEqual(['vda', 'vdb', 'vdw']);
});

test('cloud-init is told where its metadata is, where an interface may ask for it', () => {
  const may: Spec['interfaces'] = [{ name: 'eth0', type: 'TAP', allowMetadata: true, publishedPorts: [] }];
  expect(guestWords({ kernel, interfaces: may, volumes: [] }, [nic('eth0')])).toEqual([
    'ds=nocloud;dsmode=net;s=http://169.254.169.254/latest/',
  ]);
  // From the disk that it has anyhow cloud-init reads by itself.
  const metadataRef = { generation: 1, bytes: 9 };
  const spec = { kernel, interfaces: may, volumes: [], metadataRef, metadataAnyhow: true } as const;
  expect(guestWords(spec, [nic('eth0')])).toEqual([]);
});

test('every guest is told who it is', () => {
  expect(identityWords({ uid: '01ARZ3NDEKTSV4RRFFQ69G5FAV', hostname: 'web' })).toEqual([
    `systemd.machine_id=${machineId('01ARZ3NDEKTSV4RRFFQ69G5FAV')}`,
    'hostname=web',
  ]);
});

test('a machine-id is that of its microVM alone, in the form of a random UUID', () => {
  const ids = [
    '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    '01ARZ3NDEKTSV4RRFFQ69G5FAW',
    '01ARZ3NDEMTSV4RRFFQ69G5FAV',
    '7ZZZZZZZZZZZZZZZZZZZZZZZZZ',
    '00000000000000000000000000',
  ].map(machineId);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  expect(new Set(ids).size).toBe(ids.length);
  // The ULID specification's own example of the 128 bits, but for six of them.
  expect(ids[0]).toMatch(/^01563e3ab5d3/);
});
