import { entry, type Wire } from './wire-bytes.ts';

/**
 * The requests of today's clients, by the tags that they send: recorded from
 * the programs, each with the name of what sends it. Only the images may be
 * others, and the type of the interfaces.
 */
export interface RecordedWith {
  readonly kernel: string;
  /** What stands for `boot/vmlinux`. */
  readonly kernelFile: string;
  readonly root: string;
  /** Of an additional volume. */
  readonly modules: string;
  /** 0: MACVTAP, which most clients do not send; 1: TAP. */
  readonly type: 0 | 1;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
/** What is 0 is not sent. */
const type = (value: 0 | 1): Wire => (value === 0 ? [] : [[2, value]]);
const metadata = (values: Readonly<Record<string, string>>): Wire =>
  Object.entries(values).map(([key, value]) => [11, entry(key, value)] as const);
const create = (spec: Wire): Wire => [[1, spec]];
const container = (reference: string): Wire => [[1, reference]];

const BOOTCMD = 'bootcmd:\n- ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf\n';

/** `hammertime create [-n NAME --namespace NAMESPACE]`, also the microvm-action-runner's: it uses the same code. */
export const hammertimeCreate = (
  { kernel, kernelFile, root, modules, type: nic }: RecordedWith,
  { id = 'mvm0', namespace = 'ns0' } = {},
): Wire =>
  create([
    [1, id],
    [2, namespace],
    [4, 2],
    [5, 2048],
    [
      6,
      [
        [1, kernel],
        [3, kernelFile],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
    [
      9,
      [
        [1, 'modules'],
        [3, '/lib/modules/5.10.77'],
        [4, container(modules)],
      ],
    ],
    [10, [[1, 'eth1'], ...type(nic)]],
    ...metadata({
      'meta-data': base64(`instance_id: ${namespace}/${id}\nlocal_hostname: ${id}\nplatform: liquid_metal\n`),
      'user-data': base64(
        `#cloud-config\nhostname: ${id}\nusers:\n- name: root\nfinal_message: The Liquid Metal booted system is good to go after $UPTIME seconds\n${BOOTCMD}`,
      ),
    }),
  ]);

/** `fl microvm create --host H --name vm1`, with what further flags add to the spec. */
export const flCreate = ({ kernel, kernelFile, root }: RecordedWith, further: Wire = []): Wire =>
  create([
    [1, 'vm1'],
    [2, 'default'],
    [3, entry('created-with', 'fl')],
    [4, 2],
    [5, 2048],
    [
      6,
      [
        [1, kernel],
        [3, kernelFile],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [3, '/'],
        [4, container(root)],
      ],
    ],
    ...metadata({
      'user-data': base64(
        `## template: jinja\n#cloud-config\n\nfinal_message: The fl booted system is good to go after $UPTIME seconds\n${BOOTCMD}`,
      ),
    }),
    ...further,
  ]);

/** What flags of `fl microvm create` add. */
export const flFlags = {
  '--network-interface eth1:tap': [
    [
      10,
      [
        [1, 'eth1'],
        [2, 1],
        [4, '2e:10:00:00:00:01'],
      ],
    ],
  ],
  '--network-interface eth2:macvtap::192.168.100.30/24': [
    [
      10,
      [
        [1, 'eth2'],
        [4, '2e:10:00:00:00:02'],
        [5, [[1, '192.168.100.30/24']]],
      ],
    ],
  ],
  '--initrd-image I --initrd-filename F': [
    [
      7,
      [
        [1, 'I'],
        [2, 'F'],
      ],
    ],
  ],
  '--container-volume data=img=/data': [
    [
      9,
      [
        [1, 'data'],
        [3, '/data'],
        [4, container('img')],
      ],
    ],
  ],
  '--virtiofs-volume share=/srv/share=/mnt/share': [
    [
      9,
      [
        [1, 'share'],
        [3, '/mnt/share'],
        [4, [[2, '/srv/share']]],
      ],
    ],
  ],
  '--metadata-from-file meta-data=f': metadata({ 'meta-data': 'local_hostname: raw\n' }),
} as const satisfies Readonly<Record<string, Wire>>;

/** The Cluster API provider: its client library's request. */
export const capmvmCreate = ({ kernel, kernelFile, root, modules, type: nic }: RecordedWith): Wire =>
  create([
    [1, 'mvm-test-control-plane-x7k2p'],
    [2, 'default'],
    [3, entry('cluster-name', 'mvm-test')],
    [4, 2],
    [5, 2048],
    [
      6,
      [
        [1, kernel],
        [3, kernelFile],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
    [
      9,
      [
        [1, 'modules'],
        [3, '/lib/modules/5.10.77'],
        [4, container(modules)],
      ],
    ],
    [10, [[1, 'eth1'], ...type(nic), [4, '2a:76:d1:e0:64:15']]],
    ...metadata({
      'user-data': base64('## template: jinja\n#cloud-config\nruncmd:\n- kubeadm init\n'),
      'vendor-data': base64(
        `#cloud-config\nhostname: mvm-test-control-plane-x7k2p\nusers:\n- name: ubuntu\n  ssh_authorized_keys: []\n${BOOTCMD}`,
      ),
      'meta-data': base64(
        'local_hostname: mvm-test-control-plane-x7k2p\nplatform: liquid_metal\nvm_host: 192.0.2.1:9090\n',
      ),
    }),
    [16, ''],
  ]);

/** The microvm-operator's sample: the same library, an older pin, and user-data that is no base64. */
export const operatorCreate = ({ kernel, kernelFile, root, type: nic }: RecordedWith): Wire =>
  create([
    [1, 'microvm-4x9zq'],
    [2, 'default'],
    [4, 2],
    [5, 2048],
    [
      6,
      [
        [1, kernel],
        [3, kernelFile],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
    [10, [[1, 'eth1'], ...type(nic), [4, '2a:76:d1:e0:64:16']]],
    ...metadata({
      'user-data': '#!/bin/bash\necho additional user data not supplied',
      'meta-data': base64('local_hostname: microvm-4x9zq\nplatform: liquid_metal\nvm_host: 192.0.2.1:9090\n'),
    }),
  ]);

/** acceptance-tests, for Cloud Hypervisor; the newer ones set `allow_guest_agent`. */
export const acceptanceCreate = (
  { kernel, kernelFile, root }: RecordedWith,
  {
    address,
    gateway,
    agent = false,
  }: {
    readonly address: string;
    readonly gateway: string;
    readonly agent?: boolean;
  },
): Wire =>
  create([
    [1, 'run1-vm0'],
    [2, 'run1'],
    [4, 1],
    [5, 1024],
    [
      6,
      [
        [1, kernel],
        [2, entry('ds', 'nocloud')],
        [3, kernelFile],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
    [
      10,
      [
        [1, 'eth1'],
        [2, 1],
        [4, 'aa:ff:00:00:00:01'],
        [
          5,
          [
            [1, address],
            [2, gateway],
          ],
        ],
      ],
    ],
    ...metadata({
      'user-data': base64('#cloud-config\nusers:\n- name: root\n'),
      'meta-data': base64('instance_id: run1-vm0\nlocal_hostname: run1-vm0\n'),
    }),
    ...(agent ? ([[17, true]] as const) : []),
  ]);

/** battery: a pool's template; the agent is always asked for. */
export const batteryCreate = ({ kernel, root }: RecordedWith): Wire =>
  create([
    [1, 'pool-0a1b2c3d'],
    [2, 'pool'],
    [4, 1],
    [5, 1024],
    [
      6,
      [
        [1, kernel],
        [3, 'vmlinux'],
        [4, true],
      ],
    ],
    [
      7,
      [
        [1, kernel],
        [2, 'initrd-generic'],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
    [
      10,
      [
        [1, 'eth1'],
        [2, 1],
        [5, [[1, '192.168.100.30/32']]],
      ],
    ],
    [17, true],
  ]);

/** firerunner: no file of the kernel, metadata that is no base64. */
export const firerunnerCreate = ({ kernel, root, type: nic }: RecordedWith): Wire =>
  create([
    [1, 'runner-1'],
    [2, 'gitlab'],
    [4, 2],
    [5, 2048],
    [
      6,
      [
        [1, kernel],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
    [10, [[1, 'eth0'], ...type(nic)]],
    ...metadata({ 'user-data': '#cloud-config\nruncmd: [echo hello]\n' }),
  ]);

/** devops-sandbox: no id, 512 MiB, no interface, no file of the kernel. */
export const sandboxCreate = ({ kernel, root }: RecordedWith): Wire =>
  create([
    [2, 'sandbox'],
    [4, 1],
    [5, 512],
    [6, [[1, kernel]]],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
  ]);

/** The documents of unraid's plugin: a command line as a map. */
export const unraidCreate = ({ kernel, kernelFile, root }: RecordedWith): Wire =>
  create([
    [1, 'tower'],
    [4, 1],
    [5, 1024],
    [
      6,
      [
        [1, kernel],
        [2, entry('console', 'ttyS0')],
        [2, entry('root', '/dev/vda')],
        [2, entry('rw', '')],
        [3, kernelFile],
        [4, true],
      ],
    ],
    [
      8,
      [
        [1, 'root'],
        [4, container(root)],
      ],
    ],
  ]);

/** Get and Delete by uid. */
export const byUid = (uid: string): Wire => (uid === '' ? [] : [[1, uid]]);
/** hammertime's List: the name is always there. */
export const hammertimeList = (namespace: string, name: string): Wire => [
  ...(namespace === '' ? [] : ([[1, namespace]] as const)),
  [2, name],
];
