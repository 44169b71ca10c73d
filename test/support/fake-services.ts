import type { SpecDraft } from '../../src/domain/draft.ts';
import { Fault } from '../../src/domain/fault.ts';
import type { MicroVm, MicroVmView, Uid } from '../../src/domain/microvm.ts';
import type { Spec, SpecWithMetadata } from '../../src/domain/spec.ts';
import type { GuestFile } from '../../src/ports/guest-files.ts';
import type { GuestStatistics } from '../../src/ports/guest-statistics.ts';
import type { CreateOptions, ImageView, ServerInfo, Services, Target } from '../../src/service/services.ts';
import { FAKE_CAPABILITIES } from './fake-processes.ts';

export const SAMPLE_UID = '01JDGZ0000000000000000000A' as Uid;

export const sampleSpec: Spec = {
  id: 'web',
  namespace: 'default',
  labels: { app: 'web' },
  vcpu: 2,
  memoryInMb: 256,
  kernel: { image: 'oci:/images/kernel:1', filename: 'boot/vmlinuz', cmdline: 'quiet', addNetworkConfig: false },
  initrd: { image: 'oci:/images/kernel:1' },
  volumes: [{ id: 'root', isRoot: true, isReadOnly: false, mountPoint: '/', image: 'oci:/images/root:1' }],
  interfaces: [{ name: 'eth0', type: 'TAP', allowMetadata: false, publishedPorts: [] }],
  provider: '',
  restartPolicy: 'ON_FAILURE',
  providerOptions: {},
};

export const sampleSpecView: SpecWithMetadata = { ...sampleSpec, metadata: {} };

/** A microVM that runs, as users see it. */
export const sampleVm = (changes: Partial<MicroVmView> = {}): MicroVmView => ({
  ...sampleRecord(),
  spec: sampleSpecView,
  ...changes,
});

/** The record of a microVM that runs. */
export function sampleRecord(changes: Partial<MicroVm> = {}): MicroVm {
  return {
    uid: SAMPLE_UID,
    version: 3,
    generation: 1,
    spec: sampleSpec,
    allocation: { vmmUser: 70_001, interfaces: { eth0: { mac: '52:54:00:00:00:01', address: '10.77.0.2' } } },
    state: { is: 'CREATED', reason: 'Running', message: 'The guest runs' },
    made: {
      provider: 'qemu',
      accelerator: 'tcg',
      kernel: { digest: 'sha256:aa', filename: 'boot/vmlinuz', path: '/state/images/aa/boot/vmlinuz' },
      initrd: { digest: 'sha256:aa', filename: 'initrd', path: '/state/images/aa/initrd' },
      volumes: { root: { digest: 'sha256:bb', path: '/state/vm/A/root.qcow2', sizeInMb: 64 } },
      interfaces: { eth0: { device: 'flabcd0', index: 7, hostMac: '02:00:00:00:00:07' } },
    },
    conditions: [
      { type: 'Running', status: 'True', reason: 'Running', message: 'It runs', lastTransitionAt: 1_700_000_000_000 },
    ],
    retry: 0,
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_000_000,
    addresses: { eth0: ['10.77.0.2'] },
    ...changes,
  };
}

const nothing = { vcpu: 0, memoryInMb: 0, diskInMb: 0 };
export const sampleInfo: ServerInfo = {
  version: '0.1.0',
  instance: 'abcd',
  stateDirectory: '/state',
  runDirectory: '/run/fl',
  providers: [
    {
      name: 'qemu',
      version: '7.2',
      accelerator: 'tcg',
      program: 'qemu-system-x86_64',
      acceleratorReason: 'no /dev/kvm',
      available: true,
      unavailableReason: '',
      capabilities: ['initrd'],
      features: FAKE_CAPABILITIES,
    },
  ],
  capacityNotes: [],
  tools: [{ name: 'nft', path: '/usr/sbin/nft', is: 'works', found: '', remedy: '' }],
  defaultProvider: 'qemu',
  capacity: { vcpu: 2, memoryInMb: 4_096, diskInMb: 10_000 },
  promised: nothing,
  limits: { memoryInMb: 3_584 },
  used: nothing,
  managedNetwork: '10.77.0.0/24',
  volumeCopy: 'qcow2',
  reconciling: false,
  microvms: 1,
  demoKernel: '',
};

export const sampleImage: ImageView = {
  digest: `sha256:${'b'.repeat(64)}`,
  references: ['registry.test/lab/x:v1'],
  bytes: 3_000_000,
  goldens: [{ path: '/state/images/golden/bb-64.ext4', sizeInMb: 64, bytes: 1_000_000 }],
  pulledAt: 1_700_000_000_000,
  lastUsedAt: 1_700_000_060_000,
  usedBy: [SAMPLE_UID],
};

/** A file with the last name of a path. */
export const sampleFile = (path: Uint8Array): GuestFile => ({
  ...{ name: Buffer.from(Buffer.from(path).toString().split('/').at(-1) ?? ''), type: 'file', mode: 0o640 },
  ...{ uid: 1_000, gid: 100, size: 4_103n, modified: { seconds: 1_700_000_000n, nanos: 5 }, links: 1n },
  ...{ device: 7n, inode: 42n, allocated: 4_096n, target: new Uint8Array(), major: 0, minor: 0 },
});
export const sampleStatistics: GuestStatistics = {
  ...{ upMs: 60_000, cpus: 2, cpuMs: 120_000, busyMs: 6_000, memoryBytes: 256 << 20, availableBytes: 200 << 20 },
  ...{ swapBytes: 0, swapFreeBytes: 0, load: [0.5, 0.25, 0], rootBytes: 64 << 20, rootFreeBytes: 32 << 20 },
  disks: [{ name: 'vda', bytesIn: 4_096, bytesOut: 512 }],
  interfaces: [{ name: 'eth0', bytesIn: 1_000, bytesOut: 2_000 }],
  ...{ processCount: 40, processes: [{ pid: 1, name: 'init', cpuMs: 10, residentBytes: 1 << 20 }] },
};

/** Services with one microVM, that remember what they were asked. Any verb can be replaced. */
export function fakeServices(replaced: Partial<Services> = {}): Services & {
  readonly created: SpecDraft[];
  readonly options: CreateOptions[];
} {
  const created: SpecDraft[] = [];
  const options: CreateOptions[] = [];
  const find = ({ uid, id }: Target): MicroVmView => {
    if (uid === SAMPLE_UID || (!uid && id === sampleSpec.id)) return sampleVm();
    throw new Fault('not_found', `MicroVM "${uid || id}" not found`);
  };
  const list: Services['list'] = async () => ({ vms: [sampleVm()], nextPageToken: '' });
  return {
    created,
    options,
    create: async (draft, how) => {
      created.push(draft);
      options.push(how);
      return sampleVm({ state: { is: 'PENDING', reason: 'Preparing', message: 'Accepted' } });
    },
    planCreate: async (draft) => ({
      vm: sampleVm({ uid: '' as Uid, version: 0, spec: { ...sampleSpecView, id: draft.id } }),
      plan: ['vmm: start it'],
    }),
    update: async ({ target }) => find(target),
    planUpdate: async ({ target }) => ({ vm: find(target), plan: ['labels: set app=web'] }),
    get: async (target) => find(target),
    delete: async (target) => find(target),
    list,
    // In each form the same, also where a test replaces the list.
    listIn: (form) => async (request) => {
      const { vms, nextPageToken } = await (replaced.list ?? list)(request);
      return { vms: vms.map((vm) => form.make(vm)), nextPageToken };
    },
    async *watch() {
      yield { type: 'ADDED' as const, vm: sampleVm(), cursor: 'e.1', at: 1_700_000_000_000 };
      yield { type: 'BOOKMARK' as const, cursor: 'e.2', at: 1_700_000_000_000 };
    },
    wait: async ({ uid }) => find({ uid }),
    power: async (verb, { uid }) => {
      const vm = find({ uid });
      return verb === 'stop'
        ? { ...vm, state: { is: 'STOPPED', reason: 'Stopped', message: 'Stopped by a user', consoleTail: '' } }
        : vm;
    },
    async *readConsole({ uid }) {
      find({ uid });
      yield Buffer.from('hello\r\n');
      yield Buffer.from([0, 255, 10]);
    },
    async *attachConsole({ uid }, typed) {
      find({ uid });
      for await (const bytes of typed) yield bytes; // an echo
    },
    async *exec({ uid, start }, input) {
      find({ uid });
      yield { is: 'stdout', data: Buffer.from(`${[start.command, ...start.args].join(' ')}\n`) };
      for await (const one of input)
        if (one.is === 'stdin')
          yield { is: 'stdout', data: one.data }; // an echo
        else if (one.is === 'signal') yield { is: 'stderr', data: Buffer.from(`signal ${one.number}\n`) };
        else break;
      yield { is: 'exit', code: 7, timedOut: false };
    },
    async *sshProxy({ uid }, input) {
      find({ uid });
      yield* input; // an echo
    },
    async *forward({ uid, target }, input) {
      find({ uid });
      if (target.is === 'tcp' && target.port === 81) throw new Fault('refused', 'nobody listens there');
      yield { is: 'opened' };
      for await (const data of input) yield { is: 'data', data }; // an echo
      yield { is: 'end' };
    },
    async *statistics({ uid }) {
      find({ uid });
      yield sampleStatistics;
    },
    agentInfo: async ({ uid }) => {
      find({ uid });
      return { version: '1', uname: 'Linux 6.1', features: ['tty'] };
    },
    statFile: async ({ uid, place }) => {
      find({ uid });
      return sampleFile(place.path);
    },
    async *listFiles({ uid }) {
      find({ uid });
      yield [sampleFile(Buffer.from('a')), sampleFile(Buffer.from('b'))];
    },
    async *readFile({ uid, place }) {
      find({ uid });
      yield { is: 'file', file: sampleFile(place.path) };
      yield { is: 'data', data: Buffer.from('content') };
      yield { is: 'hole', bytes: 4_096n };
      yield { is: 'end', changed: false };
    },
    writeFile: async ({ uid }, content) => {
      find({ uid });
      let bytes = 0n;
      for await (const one of content) if (one.is === 'data') bytes += BigInt(one.data.length);
      return bytes;
    },
    changeFile: async ({ uid }) => void find({ uid }),
    info: async () => sampleInfo,
    cordonHost: async (reason) => ({ since: 1_700_000_000_000, reason }),
    uncordonHost: async () => undefined,
    audit: async ({ fix }) => {
      const item = { kind: 'interface', name: 'flabcd0', owner: SAMPLE_UID, detail: 'its alias' };
      return { known: [item], leaked: [], missing: [], fixed: fix ? [item] : [] };
    },
    listImages: async () => ({ images: [sampleImage], volumeCopy: 'qcow2', bytes: sampleImage.bytes, maxBytes: 0 }),
    async *pullImage({ reference }) {
      yield { step: 'pull' as const, doneBytes: 10, totalBytes: 100 };
      yield {
        step: 'done' as const,
        doneBytes: 100,
        totalBytes: 100,
        image: { ...sampleImage, references: [reference] },
      };
    },
    removeImage: async (image) => {
      if (image !== sampleImage.digest && !sampleImage.references.includes(image))
        throw new Fault('not_found', `Image "${image}" not found`);
      return sampleImage;
    },
    pruneImages: async () => ({ removed: [sampleImage], freedBytes: sampleImage.bytes }),
    ...replaced,
  };
}

/** A promise that ends with the signal: what a call without an end does. */
export const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
