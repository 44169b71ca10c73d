import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  ImagePull_Policy,
  type MicroVM,
  MicroVMSpec_RestartPolicy,
  MicroVMStatus_MicroVMState,
  type Mount,
  Mount_MountType,
} from '../../src/gen/types/microvm_pb.ts';
import { agentRows, askAgent } from './agent.ts';
import { configured } from './configured.ts';
import { type Group, type GuestRow, judged, type Seeing, type Seen } from './row.ts';
import { booted, reporting, rootVolume, tap } from './specs.ts';

const MIB = 1 << 20;

const vcpu = (row: string, count: number): GuestRow => ({
  row: `machine/${row}`,
  expected: String(count),
  guest: ({ report }) => report.text('cpus'),
  host: ({ record }) => String(record.spec?.vcpu),
});

/**
 * What a kernel keeps for itself before it counts: its own image and the
 * page structures (64 bytes for 4 KiB). Seen: 30 MiB of 128, 46 of 1024.
 */
const reserve = (mib: number): number => 32 + mib / 32;

const memory = (row: string, mib: number): GuestRow => ({
  row: `machine/${row}`,
  expected: `MemTotal ${Math.ceil(mib - reserve(mib))} to ${mib} MiB`,
  guest: ({ report }) => {
    const seen = Number(report.text('mem_kib')) / 1024;
    return judged(seen <= mib && seen >= mib - reserve(mib), `MemTotal ${seen.toFixed(0)} MiB`);
  },
  host: ({ record }) => judged(record.spec?.memoryInMb === mib, `memory_in_mb ${record.spec?.memoryInMb}`),
});

const mount = (found: Mount | undefined, { host }: Seen): Seeing => {
  const source = found?.source ?? '';
  const isFile = found?.type === Mount_MountType.HOSTPATH;
  const there = host.at[source];
  return judged(there === (isFile ? 'file' : 'block'), `${isFile ? 'HOSTPATH' : 'DEV'} is a ${there}`);
};

const ms = (at: Timestamp | undefined): number => (at ? timestampMs(at) : Number.NaN);
const seconds = (from: Timestamp | undefined, to: Timestamp | undefined): string =>
  `${((ms(to) - ms(from)) / 1_000).toFixed(1)} s`;
const isSet = (vm: MicroVM): string => (vm.spec?.deletedAt ? 'set' : 'not set');

export const machine: Group = {
  scenes: [
    configured,
    {
      name: 'machine',
      guests: (images) => ({
        one: reporting(images, {
          vcpu: 1,
          memoryInMb: 512,
          labels: { 'example.org/tier': 'front', suite: 'machine' },
          interfaces: [tap('eth0')],
        }),
      }),
      next: async ({ record, first, select, remove, uid, agent }) => {
        const named = (vms: readonly MicroVM[]): string =>
          vms.some((vm) => vm.spec?.uid === uid('one')) ? 'yes' : 'no';
        const notes = {
          matching: named(await select('example.org/tier in (front,back),suite=machine')),
          other: named(await select('example.org/tier!=front')),
          before: isSet(await record('one')),
        };
        const said = await askAgent(await agent('one'), uid('one'));
        const gone = await remove('one');
        return {
          ...notes,
          ...said,
          after: isSet(gone),
          uid: gone.spec?.uid ?? '',
          lived: seconds(gone.spec?.createdAt, gone.spec?.deletedAt),
          versions: `${first('one').version} to ${gone.version}`,
          grew: String(gone.version > first('one').version && first('one').version > 1),
          reason: gone.status?.reason ?? '',
          tail: gone.status?.consoleTail ?? '',
        };
      },
      rows: [
        ...agentRows,
        vcpu('vcpu-1', 1),
        memory('memory_in_mb-512', 512),
        {
          row: 'machine/id-and-namespace',
          expected: 'default/machine-one',
          guest: booted,
          host: ({ record }) => `${record.spec?.namespace}/${record.spec?.id}`,
        },
        {
          row: 'machine/labels',
          expected: 'found by what matches, not by what does not',
          guest: booted,
          host: ({ notes, record }) =>
            judged(
              notes.matching === 'yes' && notes.other === 'no' && record.spec?.labels['example.org/tier'] === 'front',
              `matching selector: ${notes.matching}, other: ${notes.other}`,
            ),
        },
        {
          row: 'machine/version',
          expected: 'grows with every change',
          guest: booted,
          host: ({ notes }) => judged(notes.grew === 'true', notes.versions ?? ''),
        },
        {
          row: 'machine/created_at',
          expected: 'before the guest reported, less than 5 minutes',
          guest: ({ report, record }) => {
            const after = Number(report.text('clock')) - ms(record.spec?.createdAt) / 1_000;
            return judged(after > -1 && after < 300, `its clock is ${after.toFixed(0)} s later`);
          },
        },
        {
          row: 'machine/updated_at',
          expected: 'when the spec was written: at its creation',
          guest: booted,
          host: ({ record }) => {
            const after = seconds(record.spec?.createdAt, record.spec?.updatedAt);
            return judged(after === '0.0 s', `${after} after created_at`);
          },
        },
        {
          row: 'machine/deleted_at',
          expected: 'set by the delete alone',
          guest: booted,
          host: ({ notes }) =>
            judged(
              notes.before === 'not set' && notes.after === 'set' && notes.reason === 'Deleted',
              `${notes.before}, then ${notes.after} ${notes.lived} after created_at`,
            ),
        },
        {
          row: 'machine/status.retry',
          expected: '0 of a guest that booted at once',
          guest: ({ reports }) =>
            judged(reports.length === 1, `booted ${reports.length} time: ${reports[0]?.text('boot_id')}`),
          host: ({ record }) => judged(record.status?.retry === 0, String(record.status?.retry)),
        },
        {
          row: 'machine/uid',
          expected: '26 characters of a ULID, and the same to the end',
          guest: booted,
          host: ({ record, notes }) => {
            const uid = record.spec?.uid ?? '';
            return judged(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(uid) && notes.uid === uid, uid);
          },
        },
        {
          row: 'machine/generation',
          expected: '1, of a spec that was written once',
          guest: booted,
          host: ({ record }) => judged(record.spec?.generation === 1n, String(record.spec?.generation)),
        },
        {
          row: 'machine/status.state',
          expected: 'CREATED, Running, with a sentence',
          guest: booted,
          host: ({ record: { status } }) => {
            const isCreated = status?.state === MicroVMStatus_MicroVMState.CREATED;
            const ok = isCreated && status.reason === 'Running' && status.message.length > 5;
            return judged(ok, `${isCreated ? 'CREATED' : status?.state}, ${status?.reason}: ${status?.message}`);
          },
        },
        {
          row: 'machine/status.conditions',
          expected:
            'DisksReady GuestAlive GuestConfigured ImagesReady NetworkReady Running: True, each with reason, sentence and time',
          guest: booted,
          host: ({ record: { status } }) => {
            const wanted = ['DisksReady', 'GuestAlive', 'GuestConfigured', 'ImagesReady', 'NetworkReady', 'Running'];
            const found = wanted.flatMap((type) => status?.conditions.filter((c) => c.type === type) ?? []);
            const isWhole = found.every((c) => c.status === 'True' && c.reason && c.message && c.lastTransitionTime);
            const text = status?.conditions.map((c) => `${c.type} ${c.status} ${c.reason}`).join(', ') ?? '';
            return judged(found.length === wanted.length && isWhole, text);
          },
        },
        {
          row: 'machine/status.provider',
          expected: 'the one that the spec asks for, and how it runs',
          guest: booted,
          host: ({ record: { spec, status } }) => {
            const isRight = spec?.provider === '' || spec?.provider === status?.provider;
            const isKnown = ['kvm', 'tcg'].includes(status?.accelerator ?? '');
            return judged(isRight && isKnown && status?.provider !== '', `${status?.provider}, ${status?.accelerator}`);
          },
        },
        {
          row: 'machine/status.console_tail',
          expected: 'the guest’s last line, when it is gone',
          guest: ({ report }) => judged(report.all('begin').length === 1, report.text('begin')),
          host: ({ notes }) => {
            const line = notes.tail?.trimEnd().split('\n').at(-1)?.trim() ?? '';
            return judged(/report: end=\d+/.test(notes.tail ?? ''), line);
          },
        },
        {
          row: 'machine/status.initrd_image_digest',
          expected: 'of the image, which is the kernel’s too',
          guest: booted,
          host: ({ record: { status } }) => {
            const digest = status?.initrdImageDigest ?? '';
            const ok = /^sha256:[0-9a-f]{64}$/.test(digest) && digest === status?.kernelImageDigest;
            return judged(ok, digest.slice(0, 19));
          },
        },
        {
          row: 'machine/pull_policy-left-out',
          expected: "the daemon's, as it was then: ALWAYS",
          guest: booted,
          host: ({ record: { spec } }) =>
            judged(spec?.pullPolicy === ImagePull_Policy.ALWAYS, `pull_policy ${spec?.pullPolicy}`),
        },
        {
          row: 'machine/status.kernel_mount',
          expected: 'the file that was booted',
          guest: booted,
          host: (seen) => mount(seen.record.status?.kernelMount, seen),
        },
        {
          row: 'machine/status.initrd_mount',
          expected: 'the file that was unpacked',
          guest: booted,
          host: (seen) => mount(seen.record.status?.initrdMount, seen),
        },
        {
          row: 'machine/status.volumes',
          expected: 'the size that the guest sees, and where it lies',
          guest: ({ report, record }) => {
            const bytes = Number(report.value('disk', 'vda', 'bytes'));
            return judged(bytes === (record.status?.volumes.root?.sizeInMb ?? 0) * MIB, `${bytes / MIB} MiB`);
          },
          host: (seen) => {
            const root = seen.record.status?.volumes.root;
            const where = mount(root?.mount, seen);
            return typeof where === 'string' ? where : { ...where, text: `${root?.sizeInMb} MiB, ${where.text}` };
          },
        },
        {
          row: 'machine/status.network_interfaces',
          expected: 'device, index and MAC as the host has them',
          guest: ({ report, record }) => {
            const mac = report.value('link', 'eth0', 'mac');
            return judged(mac === record.status?.networkInterfaces.eth0?.guestMac, mac);
          },
          host: ({ host, record }) => {
            const nic = record.status?.networkInterfaces.eth0;
            const link = host.links.find(({ ifname }) => ifname === nic?.hostDeviceName);
            const ok = link?.ifindex === nic?.index && link?.address === nic?.macAddress && link !== undefined;
            return judged(ok, `${link?.ifname} ${link?.ifindex} ${link?.address}`);
          },
        },
      ],
    },
    {
      name: 'small',
      guests: (images) => {
        const { initrd: _, ...spec } = reporting(images, {
          memoryInMb: 64,
          kernel: { image: images.small, cmdline: 'quiet' },
          interfaces: [tap('eth0')],
        });
        const short = { kernel: { image: images.small }, volumes: [rootVolume(images)] };
        return { kernel: spec, short };
      },
      rows: [
        memory('memory_in_mb-64', 64),
        {
          row: 'machine/short-spec',
          expected: '2 CPUs, 1024 MiB, no interface',
          guest: ({ guests: { short } }) => {
            if (!short) return 'no report';
            const mib = Number(short.report.text('mem_kib')) / 1024;
            const memory = mib <= 1024 && mib >= 1024 - reserve(1024) ? '1024 MiB' : `MemTotal ${mib} MiB`;
            const nics = short.report.all('link').map(({ name }) => name);
            return `${short.report.text('cpus')} CPUs, ${memory}, ${nics.join(' ') || 'no interface'}`;
          },
          host: ({ guests }) => {
            const { spec, status } = guests.short?.record ?? {};
            const nics = Object.keys(status?.networkInterfaces ?? {});
            return `${spec?.vcpu} CPUs, ${spec?.memoryInMb} MiB, ${nics.join(' ') || 'no interface'}`;
          },
        },
        {
          row: 'kernel/no-initrd',
          expected: 'the root, mounted by the kernel',
          guest: ({ report }) => {
            const root = report.all('mount').find(({ text }) => text.split(' ')[1] === '/');
            return judged(root?.name === 'root', root?.text ?? 'nothing');
          },
          host: ({ record }) =>
            judged(record.status?.initrdMount === undefined, record.status?.initrdMount?.source ?? 'no initrd_mount'),
        },
      ],
    },
    {
      name: 'always',
      guests: (images) => ({ one: reporting(images, { restartPolicy: MicroVMSpec_RestartPolicy.ALWAYS }) }),
      next: async ({ powerOff, record }) => {
        await powerOff('one');
        const { spec, status } = await record('one');
        return {
          policy: spec?.restartPolicy === MicroVMSpec_RestartPolicy.ALWAYS ? 'ALWAYS' : 'another',
          retry: String(status?.retry),
          message: status?.message ?? '',
        };
      },
      rows: [
        {
          row: 'machine/restart_policy-always',
          expected: 'booted again after its power-off',
          guest: ({ reports: [before, after] }) => {
            const ids = [before?.text('boot_id') ?? 'nothing', after?.text('boot_id') ?? 'nothing'];
            const isNew = ids[0] !== ids[1] && !ids.includes('nothing');
            return judged(isNew, isNew ? 'booted again after its power-off' : ids.join(' and then '));
          },
          host: ({ notes: { policy, retry, message } }) =>
            judged(
              policy === 'ALWAYS' && retry === '1' && message?.includes('GuestShutdown') === true,
              `${policy}, retry ${retry}: ${message}`,
            ),
        },
      ],
    },
  ],
  refused: [
    {
      row: 'machine/vcpu-negative',
      spec: (images) => reporting(images, { vcpu: -1 }),
      field: 'vcpu',
      words: '-1 is negative',
    },
    {
      row: 'machine/vcpu-more-than-the-provider',
      spec: (images, { maxVcpu }) => reporting(images, { vcpu: maxVcpu + 1 }),
      field: 'vcpu',
      words: 'takes 1 to',
    },
    {
      row: 'machine/memory_in_mb-negative',
      spec: (images) => reporting(images, { memoryInMb: -5 }),
      field: 'memory_in_mb',
      words: '-5 is negative',
    },
    {
      row: 'machine/provider-unknown',
      spec: (images) => reporting(images, { provider: 'vmware' }),
      field: 'provider',
      words: '"vmware" is none of this daemon\'s',
    },
    {
      row: 'machine/provider_options-unknown',
      spec: (images) => reporting(images, { providerOptions: { 'qemu.turbo': 'on' } }),
      field: 'provider_options[qemu.turbo]',
      words: 'is no option of ',
    },
    {
      row: 'machine/restart_policy-unknown',
      spec: (images) => reporting(images, { restartPolicy: 7 as MicroVMSpec_RestartPolicy }),
      field: 'restart_policy',
      words: '"7" must be ON_FAILURE, ALWAYS, NEVER',
    },
    {
      row: 'machine/pull_policy-unknown',
      spec: (images) => reporting(images, { pullPolicy: 9 as ImagePull_Policy }),
      field: 'pull_policy',
      words: '"9" must be ALWAYS, MISSING, NEVER',
    },
    {
      row: 'machine/pull_policy-never',
      spec: (images) =>
        reporting(images, { kernel: { image: 'registry.invalid/kernel:v1' }, pullPolicy: ImagePull_Policy.NEVER }),
      code: 'FAILED_PRECONDITION',
      field: 'kernel.image',
      words: 'it is not on this host',
    },
    {
      row: 'machine/outputs-given',
      spec: (images) => reporting(images, { uid: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }),
      field: 'uid',
      words: 'set by the daemon only',
    },
  ],
};

export { memory, vcpu };
