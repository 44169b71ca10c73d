import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { InterfaceDraft, SpecDraft, VolumeDraft } from './draft.ts';
import { Fault } from './fault.ts';
import { PULL_POLICIES, pullPolicyOf } from './spec.ts';
import { validate } from './validate.ts';

const root: VolumeDraft = { id: 'root', isRoot: true, isReadOnly: false, mountPoint: '', image: 'r' };
const data: VolumeDraft = { id: 'data', isRoot: false, isReadOnly: true, mountPoint: '', image: 'd' };
const nic: InterfaceDraft = { name: 'eth0', type: 'TAP', allowMetadata: false, publishedPorts: [] };
const kernel = { image: 'k', cmdline: '', addNetworkConfig: false };
const draft: SpecDraft = {
  id: 'web',
  namespace: 'team',
  labels: {},
  vcpu: 0,
  memoryInMb: 0,
  kernel,
  volumes: [root],
  interfaces: [],
  metadata: {},
  provider: '',
  restartPolicy: 'ON_FAILURE',
  providerOptions: {},
  outputsSet: [],
};
const { kernel: _, ...withoutKernel } = draft;

/** What is wrong, as `field: description`. */
function wrongIn(changes: Partial<SpecDraft>, base: SpecDraft = draft): readonly string[] {
  try {
    validate({ ...base, ...changes }, 'made');
    return [];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    expect(error).toMatchObject({ kind: 'invalid', terminal: true });
    return error.violations.map(({ field, description }) => `${field}: ${description}`);
  }
}
const fieldsOf = (changes: Partial<SpecDraft>): readonly string[] =>
  wrongIn(changes).map((text) => text.split(': ')[0] ?? '');

describe('what is left out gets a default', () => {
  test('id, namespace, vcpu and memory', () => {
    expect(validate({ ...draft, id: '', namespace: '' }, 'made')).toMatchObject({
      id: 'made',
      namespace: 'default',
      vcpu: 2,
      memoryInMb: 1024,
      restartPolicy: 'ON_FAILURE',
    });
  });

  test('an empty filename is as none', () => {
    const spec = validate({ ...draft, kernel: { ...kernel, filename: '' }, initrd: { image: 'i', filename: '' } }, 'x');
    expect(spec.kernel).toEqual({ image: 'k', cmdline: '', addNetworkConfig: false });
    expect(spec.initrd).toEqual({ image: 'i' });
  });

  test('the root volume comes first, the others in their order', () => {
    const { volumes } = validate({ ...draft, volumes: [data, { ...data, id: 'more' }, root] }, 'x');
    expect(volumes.map(({ id }) => id)).toEqual(['root', 'data', 'more']);
  });

  test('a MAC address has one form', () => {
    const spec = validate({ ...draft, interfaces: [{ ...nic, mac: '52-54-00-AB-CD-EF' }] }, 'x');
    expect(spec.interfaces[0]?.mac).toBe('52:54:00:ab:cd:ef');
  });

  test('no volume at all is right with an initrd', () => {
    expect(wrongIn({ volumes: [], initrd: { image: 'i' } })).toEqual([]);
  });
});

describe.each(['id', 'namespace'] as const)('%s', (field) => {
  test.each([
    ['with a slash', 'a/b'],
    ['that climbs', '..'],
    ['that climbs within', 'a..b'],
    ['that is a dot', '.'],
    ['with a newline', 'a\nb'],
    ['that ends in a newline', 'a\n'],
    ['with a NUL', 'a\0'],
    ['with an escape sequence', '\u001b[31m'],
    ['with a quote', `a'b`],
    ['with a space', 'a b'],
    ['that looks like a flag', '-rf'],
    ['of 300 bytes', 'x'.repeat(300)],
    ['of 254 bytes', 'x'.repeat(254)],
    ['with letters beyond ASCII', 'größe'],
  ])('%s is refused, in one clean line', (_, value) => {
    const [wrong = '', ...others] = wrongIn({ [field]: value });
    expect(others).toEqual([]);
    expect(wrong).toMatch(new RegExp(`^${field}: `));
    expect(wrong).not.toMatch(/\p{Cc}/u);
    expect(wrong.length).toBeLessThan(300);
  });

  test.each(['a', 'A-b_c=d.e', '1', 'x'.repeat(253)])('%s is taken', (value) => {
    expect(wrongIn({ [field]: value })).toEqual([]);
  });
});

describe('numbers', () => {
  test.each([
    ['vcpu', { vcpu: -1 }],
    ['vcpu', { vcpu: -(2 ** 31) }],
    ['memory_in_mb', { memoryInMb: -1 }],
  ] as const)('a negative %s is refused', (field, changes) => {
    expect(wrongIn(changes)).toEqual([expect.stringMatching(new RegExp(`^${field}: -\\d+ is negative: give`))]);
  });
});

describe('kernel and initrd', () => {
  test('no kernel is refused with what else is wrong', () => {
    expect(wrongIn({ vcpu: -1 }, withoutKernel).map((text) => text.split(':')[0])).toEqual(['vcpu', 'kernel']);
  });

  test('neither may be without an image', () => {
    expect(fieldsOf({ kernel: { ...kernel, image: '' }, initrd: { image: '' } })).toEqual([
      'kernel.image',
      'initrd.image',
    ]);
  });

  test.each(['../../../etc/shadow', '/..', 'boot/../../x', 'boot/..', '..', 'a\0b', 'a\nb', 'x'.repeat(1025)])(
    'the filename %j is refused for both',
    (filename) => {
      expect(fieldsOf({ kernel: { ...kernel, filename }, initrd: { image: 'i', filename } })).toEqual([
        'kernel.filename',
        'initrd.filename',
      ]);
    },
  );

  test.each(['boot/vmlinuz', '/boot/vmlinuz', 'vmlinuz-6.1..fc', '..vmlinuz', './vmlinuz'])(
    'the filename %j stays inside the image',
    (filename) => {
      expect(fieldsOf({ kernel: { ...kernel, filename } })).toEqual([]);
    },
  );

  test.each([
    ['with a newline', 'quiet\ninit=/bin/sh'],
    ['that the kernel would cut', 'x'.repeat(1537)],
  ])('a command line %s is refused', (_, cmdline) => {
    expect(fieldsOf({ kernel: { ...kernel, cmdline } })).toEqual(['kernel.cmdline']);
  });
});

describe('volumes', () => {
  test('two roots are refused', () => {
    expect(wrongIn({ volumes: [root, { ...root, id: 'other' }] })).toEqual([
      'volumes: 2 volumes are is_root: exactly one must be',
    ]);
  });

  test.each([[[]], [[data]]])('no root and no initrd is refused', (volumes) => {
    expect(wrongIn({ volumes })).toEqual(['volumes: one volume must be is_root, unless an initrd is given']);
  });

  test('an id used twice is refused at the second', () => {
    expect(fieldsOf({ volumes: [root, data, data] })).toEqual(['volumes[2].id']);
  });

  test.each(['', '..', '.', '/', 'a/b', 'a\nb', '-x', 'x'.repeat(64)])('the id %j is refused', (id) => {
    expect(fieldsOf({ volumes: [root, { ...data, id }] })).toEqual(['volumes[1].id']);
  });

  test('one without an image is refused', () => {
    const { image: _, ...bare } = data;
    expect(fieldsOf({ volumes: [root, bare, { ...data, id: 'more', image: '' }] })).toEqual([
      'volumes[1].source.container_source',
      'volumes[2].source.container_source',
    ]);
  });
});

describe('mount points', () => {
  const mountedAt = (...paths: readonly string[]): Partial<SpecDraft> => ({
    volumes: [root, ...paths.map((mountPoint, i) => ({ ...data, id: `d${i}`, mountPoint }))],
  });

  test.each(['/data', '/data/inner', '/var/lib/a b', '/größe', '/..data', '/a.b/...'])('%j is taken', (path) => {
    expect(wrongIn(mountedAt(path))).toEqual([]);
    expect(validate({ ...draft, ...mountedAt(path) }, 'x').volumes[1]?.mountPoint).toBe(path);
  });

  test.each([
    ['data', 'absolute'],
    ['./data', 'absolute'],
    ['/', 'place of the root'],
    ['/data/', 'write "/data"'],
    ['//data', 'write "/data"'],
    ['/a/./b', 'write "/a/b"'],
    ['/a/../b', 'without ".."'],
    ['/..', 'without ".."'],
    ['/a\nb', 'control characters'],
    ['/a\0', 'control characters'],
    ['/\ud800', 'control characters'],
    [`/${'x'.repeat(1024)}`, 'at most 1024'],
  ])('%j is refused', (path, why) => {
    const [wrong = '', ...others] = wrongIn(mountedAt(path));
    expect(others).toEqual([]);
    expect(wrong).toMatch(/^volumes\[1\]\.mount_point: /);
    expect(wrong).toContain(why);
    expect(wrong).not.toMatch(/\p{Cc}/u);
  });

  test('two volumes have not one place', () => {
    expect(wrongIn(mountedAt('/a', '/b', '/a'))).toEqual([
      'volumes[3].mount_point: "/a" is the mount_point of volumes[1] too: each volume needs its own',
    ]);
  });

  test('the root is mounted at / and nowhere else', () => {
    expect(wrongIn({ volumes: [{ ...root, mountPoint: '/' }] })).toEqual([]);
    expect(fieldsOf({ volumes: [{ ...root, mountPoint: '/data' }] })).toEqual(['volumes[0].mount_point']);
  });
});

describe('partition ids', () => {
  const id = 'ABCDEF01-1111-2222-3333-444444444444';

  test('are UUIDs of one form', () => {
    expect(validate({ ...draft, volumes: [{ ...root, partitionId: id }] }, 'x').volumes[0]?.partitionId).toBe(
      'abcdef01-1111-2222-3333-444444444444',
    );
    expect(validate({ ...draft, volumes: [{ ...root, partitionId: '' }] }, 'x').volumes[0]).not.toHaveProperty(
      'partitionId',
    );
  });

  test.each([
    'u',
    `{${id}}`,
    `${id}\n`,
    id.replaceAll('-', ''),
    id.replace('A', 'G'),
    '0'.repeat(8),
    id.replace(/\w/g, '0'),
  ])('%j is refused', (partitionId) => {
    expect(fieldsOf({ volumes: [{ ...root, partitionId }] })).toEqual(['volumes[0].partition_id']);
  });

  test('one for two volumes is refused, however it is written', () => {
    const volumes = [
      { ...root, partitionId: id },
      { ...data, partitionId: id.toLowerCase() },
    ];
    expect(wrongIn({ volumes })).toEqual([
      expect.stringMatching(/^volumes\[1\]\.partition_id: .* of volumes\[0\] too/),
    ]);
  });
});

describe('sizes', () => {
  const sized = (sizeInMb: number): Partial<SpecDraft> => ({ volumes: [{ ...root, sizeInMb }] });

  test.each([1, 64, 2 ** 24 - 1])('%d MiB is taken', (size) => {
    expect(validate({ ...draft, ...sized(size) }, 'x').volumes[0]?.sizeInMb).toBe(size);
  });

  test('0 is as none', () => {
    expect(validate({ ...draft, ...sized(0) }, 'x').volumes[0]).not.toHaveProperty('sizeInMb');
  });

  test.each([-1, -(2 ** 31), 2 ** 24, 2 ** 31 - 1])('%d MiB is refused', (size) => {
    expect(fieldsOf(sized(size))).toEqual(['volumes[0].size_in_mb']);
  });
});

describe('the provider', () => {
  test('and its options are kept, for it to judge', () => {
    const changes = { provider: 'qemu', providerOptions: { 'qemu.acpi': 'off' } };
    expect(validate({ ...draft, ...changes }, 'x')).toMatchObject(changes);
  });

  test.each(['a/b', '..', 'QEMU', 'a\nb', 'x'.repeat(64)])('has not the name %j', (provider) => {
    expect(fieldsOf({ provider })).toEqual(['provider']);
  });

  test('has no thousands of options', () => {
    const providerOptions = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 'v']));
    expect(wrongIn({ providerOptions })).toEqual(['provider_options: has 65 entries: at most 64']);
  });
});

describe('words that the daemon adds', () => {
  const cmdline = (text: string) => ({ ...kernel, cmdline: text });
  const mounted = [root, { ...data, mountPoint: '/data' }];

  test("are not the user's as well", () => {
    expect(wrongIn({ kernel: cmdline('quiet flintlock.mount=vdb:/x'), volumes: mounted })).toEqual([
      expect.stringMatching(/^kernel\.cmdline: gives flintlock\.mount/),
    ]);
    expect(wrongIn({ kernel: cmdline('"flintlock.nic=a,b"'), interfaces: [nic] })).toEqual([
      expect.stringMatching(/^kernel\.cmdline: gives flintlock\.nic/),
    ]);
  });

  test("may be the user's where the spec has none", () => {
    expect(wrongIn({ kernel: cmdline('flintlock.mount=vdb:/x'), volumes: [root, data] })).toEqual([]);
    expect(wrongIn({ kernel: cmdline('x=flintlock.mount=1'), volumes: mounted })).toEqual([]);
  });
});

describe('interfaces', () => {
  test.each([
    ['01:00:5e:00:00:01', 'multicast'],
    ['ff:ff:ff:ff:ff:ff', 'multicast'],
    ['00:00:00:00:00:00', 'no address'],
    ['52:54:00:12:34', 'no MAC'],
    ['52:54:00:12:34:5g', 'no MAC'],
    ['52:54-00:12:34:56', 'no MAC'],
    ['52:54:00:12:34:56:78', 'no MAC'],
    ['5254.0012.3456', 'no MAC'],
    ['52:54:00:12:34:56\n', 'no MAC'],
  ])('the MAC %j is refused', (mac, why) => {
    const [wrong = '', ...others] = wrongIn({ interfaces: [{ ...nic, mac }] });
    expect(others).toEqual([]);
    expect(wrong).toMatch(/^interfaces\[0\]\.guest_mac: /);
    expect(wrong).toContain(why);
  });

  test('one MAC in two forms is used twice', () => {
    const interfaces = [
      { ...nic, mac: '52:54:00:00:00:0a' },
      { ...nic, name: 'eth1', mac: '52-54-00-00-00-0A' },
    ];
    expect(fieldsOf({ interfaces })).toEqual(['interfaces[1].guest_mac']);
  });

  test('a name used twice, too long, or no name of a device is refused', () => {
    const names = ['eth0', 'eth0', 'x'.repeat(16), '', '0eth', 'a/b', 'a b', '..', 'eth\n'];
    expect(fieldsOf({ interfaces: names.map((name) => ({ ...nic, name })) })).toEqual(
      names.slice(1).map((_, i) => `interfaces[${i + 1}].guest_device_name`),
    );
  });

  test('a type that is none is refused by its name', () => {
    expect(wrongIn({ interfaces: [{ ...nic, type: '7' }] })[0]).toMatch(/^interfaces\[0\]\.type: 7 is no /);
  });
});

describe('labels', () => {
  const isTaken = (labels: Readonly<Record<string, string>>): boolean => fieldsOf({ labels }).length === 0;

  test.each([
    ['app', 'web'],
    ['app.kubernetes.io/name', 'web'],
    ['a', ''],
    ['x'.repeat(63), 'y'.repeat(63)],
    [`${'a'.repeat(63)}.${'b'.repeat(63)}/n`, 'A_b.C-1'],
  ])('%s=%s is taken', (key, value) => {
    expect(isTaken({ [key]: value })).toBe(true);
  });

  test.each([
    ['', 'v'],
    ['x'.repeat(64), 'v'],
    ['-a', 'v'],
    ['a-', 'v'],
    ['a b', 'v'],
    ['/n', 'v'],
    ['p/', 'v'],
    ['a/b/c', 'v'],
    ['Upper.case/n', 'v'],
    [`${'a.'.repeat(127)}a/n`, 'v'],
    ['a', 'x'.repeat(64)],
    ['a', '-v'],
    ['a', 'v\n'],
    ['a', 'a b'],
    ['a', "x' OR 1=1 --"],
    ['__proto__x\n', 'v'],
  ])('%j=%j is refused', (key, value) => {
    const [wrong = '', ...others] = wrongIn({ labels: { [key]: value } });
    expect(others).toEqual([]);
    expect(wrong).toMatch(/^labels\[/);
    expect(wrong).not.toMatch(/\p{Cc}/u);
  });

  test('key and value of one label are both told', () => {
    expect(wrongIn({ labels: { '-': '-' } })).toHaveLength(2);
  });

  test('more than 256 are refused', () => {
    const labels = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`k${i}`, 'v']));
    expect(wrongIn({ labels })).toEqual(['labels: has 257 entries: at most 256']);
  });
});

test('a restart policy is one of three', () => {
  for (const restartPolicy of ['ON_FAILURE', 'ALWAYS', 'NEVER'])
    expect(validate({ ...draft, restartPolicy }, 'new').restartPolicy).toBe(restartPolicy);
  expect(wrongIn({ restartPolicy: '7' })).toEqual(['restart_policy: "7" must be ON_FAILURE, ALWAYS, NEVER']);
});

test('a pull policy is one of three, or the daemon is left to choose', () => {
  for (const pullPolicy of PULL_POLICIES) expect(validate({ ...draft, pullPolicy }, 'new').pullPolicy).toBe(pullPolicy);
  for (const left of [{}, { pullPolicy: '' }])
    expect('pullPolicy' in validate({ ...draft, ...left }, 'new')).toBe(false);
  expect(wrongIn({ pullPolicy: '9' })).toEqual(['pull_policy: "9" must be ALWAYS, MISSING, NEVER']);
  // A record of before there were any.
  expect(pullPolicyOf({})).toBe('ALWAYS');
});

test('what only the daemon sets is refused by name', () => {
  expect(wrongIn({ outputsSet: ['uid', 'created_at'] })).toEqual([
    'uid: set by the daemon only: leave it out',
    'created_at: set by the daemon only: leave it out',
  ]);
});

test('all that is wrong is told at once, in the names of the API', () => {
  const wrong = fieldsOf({
    id: '../x',
    namespace: 'a/b',
    labels: { '-': 'v' },
    vcpu: -1,
    memoryInMb: -1,
    kernel: { image: '', filename: '..', cmdline: '\n', addNetworkConfig: true },
    initrd: { image: '' },
    volumes: [root, { ...root, image: '' }],
    interfaces: [{ ...nic, mac: 'x', type: '7' }],
    provider: '../x',
    outputsSet: ['uid'],
  });
  expect(wrong).toEqual([
    'uid',
    'id',
    'namespace',
    'labels[-]',
    'vcpu',
    'memory_in_mb',
    'kernel.image',
    'kernel.filename',
    'kernel.cmdline',
    'initrd.image',
    'volumes',
    'volumes[1].id',
    'volumes[1].source.container_source',
    'interfaces[0].type',
    'interfaces[0].guest_mac',
    'provider',
  ]);
});

test('any text at all is taken or refused with a Fault, never with a crash', () => {
  const character = fc.oneof(fc.integer({ max: 0x7f, min: 0 }), fc.integer({ max: 0x10_ff_ff, min: 0 }));
  const text = fc.string({ unit: character.map((code) => String.fromCodePoint(code)), maxLength: 300 });
  fc.assert(
    fc.property(text, text, text, text, text, (id, namespace, key, filename, mac) => {
      const spec = wrongIn({
        id,
        namespace,
        labels: { [key]: id },
        kernel: { ...kernel, filename, cmdline: key },
        volumes: [{ ...root, id, image: key }],
        interfaces: [{ ...nic, name: key, mac }],
      });
      expect(spec.every((line) => line.length < 1_000)).toBe(true);
    }),
    { numRuns: 200 },
  );
});

describe('a MACVTAP interface', () => {
  const lan: SpecDraft['interfaces'][number] = { ...nic, type: 'MACVTAP' };

  test('keeps its type, and a static address has its prefix', () => {
    const interfaces = [{ ...lan, address: '192.0.2.5/24', allowMetadata: true }];
    expect(validate({ ...draft, interfaces }, 'x').interfaces).toMatchObject([
      { type: 'MACVTAP', address: '192.0.2.5/24', allowMetadata: true },
    ]);
  });

  test.each<[string, Partial<SpecDraft['interfaces'][number]>, RegExp]>([
    ['address', { address: '192.0.2.5' }, /needs its prefix.*192\.0\.2\.5\/24/],
    [
      'published_ports[0]',
      { publishedPorts: [{ hostPort: 1, guestPort: 1, protocol: '', hostIp: '' }] },
      /its own address/,
    ],
    ['overrides.bridge_name', { bridge: 'br0' }, /is for TAP/],
  ])('has no %s that it cannot have', (field, change, words) => {
    expect(wrongIn({ interfaces: [{ ...lan, ...change }] })).toEqual([expect.stringMatching(words)]);
    expect(fieldsOf({ interfaces: [{ ...lan, ...change }] })).toEqual([`interfaces[0].${field}`]);
  });

  test('one of them may ask for metadata', () => {
    const asking = ['eth0', 'eth1'].map((name) => ({ ...lan, name, allowMetadata: true }));
    expect(fieldsOf({ interfaces: asking })).toEqual(['interfaces[1].allow_metadata_req']);
  });
});
