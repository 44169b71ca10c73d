import { CAP_NET_RAW_MASK, type Images } from './images.ts';
import { type Group, type GuestRow, judged, type Seen } from './row.ts';
import { dataVolume, reporting, rootVolume, wordsOf } from './specs.ts';

const file = ({ report }: Seen, path: string) =>
  report.all('file', 'vdb').find(({ text }) => text.startsWith(`vdb ./${path} `));
const wordOf = (seen: Seen, path: string, key: string): string =>
  file(seen, path)
    ?.text.split(' ')
    .find((word) => word.startsWith(`${key}=`))
    ?.slice(key.length + 1) ?? 'not there';
const textOf = ({ report }: Seen, kind: string, path: string): string =>
  report
    .all(kind, 'vdb')
    .find(({ text }) => text.startsWith(`vdb ./${path} `))
    ?.text.slice(`vdb ./${path} `.length) ?? 'not there';

/** A row about the image `layers`, which is on the second disk. */
const layered = (row: string, expected: string, guest: (seen: Seen) => string): GuestRow => ({
  row: `volumes/image-${row}`,
  expected,
  guest,
});

/** A root, and a data volume of each change. */
const withData =
  (...changes: readonly object[]) =>
  (images: Images) =>
    reporting(images, {
      volumes: [rootVolume(images), ...changes.map((change, i) => dataVolume(`data${i}`, images.data, change))],
    });

const ROOT_PARTITION = 'ABCDEF01-1111-2222-3333-444444444444';
const DATA_PARTITION = '0badcafe-aaaa-bbbb-cccc-dddddddddddd';

/** `vdc /srv/data rw`, of what is mounted there. */
const mountedAt = ({ report }: Seen, path: string): string => {
  const found = report.all('mount').find(({ text }) => text.split(' ')[1] === path);
  const [device, where, type, options = ''] = found?.text.split(' ') ?? [];
  return found ? `${device} ${where} ${type} ${options.split(',')[0]}` : 'nothing';
};

/** A disk of so many MiB, whose file system fills it but for its own tables, journal and the partition table. */
const size = (row: string, disk: string, device: string, mib: number, id: string): GuestRow => ({
  row: `volumes/${row}`,
  expected: `${mib} MiB, its file system at least ${Math.ceil(mib * 0.8)}`,
  guest: ({ report }) => {
    const bytes = Number(report.value('disk', disk, 'bytes')) / (1 << 20);
    const room = Number(report.value('df', device, 'kib')) / 1024;
    return judged(bytes === mib && room >= mib * 0.8 && room < mib, `${bytes} MiB, its file system ${room.toFixed(0)}`);
  },
  host: ({ record }) => {
    const told = record.status?.volumes[id]?.sizeInMb;
    return judged(told === mib, `size_in_mb ${told}`);
  },
});

const partitionOf = ({ report }: Seen, device: string): string =>
  /PART_ENTRY_UUID=(\S+)/.exec(report.text('blkid', device))?.[1] ?? 'no partition';

export const volumes: Group = {
  scenes: [
    {
      name: 'mounts',
      guests: (images) => ({
        four: reporting(images, {
          volumes: [
            // Before what it lies in: the guest mounts them the right way round.
            dataVolume('inner', images.data, {
              isReadOnly: true,
              partitionId: DATA_PARTITION,
              sizeInMb: 72,
              mountPoint: '/srv/a b/inner',
            }),
            rootVolume(images, { partitionId: ROOT_PARTITION, sizeInMb: 192, mountPoint: '/' }),
            dataVolume('outer', images.layers, { sizeInMb: 100, mountPoint: '/srv/a b' }),
            dataVolume('known', images.other, { mountPoint: '/mnt' }),
          ],
        }),
      }),
      rows: [
        {
          row: 'volumes/mount_point',
          expected: 'vdd /mnt ext4 rw',
          guest: (seen) => mountedAt(seen, '/mnt'),
        },
        {
          row: 'volumes/mount_point-unknown-to-the-image-and-with-a-blank',
          expected: 'vdc /srv/a\\040b ext4 rw',
          guest: (seen) => mountedAt(seen, '/srv/a\\040b'),
        },
        {
          row: 'volumes/mount_point-nested-and-read-only',
          expected: 'vdb1 /srv/a\\040b/inner ext4 ro',
          guest: (seen) => mountedAt(seen, '/srv/a\\040b/inner'),
        },
        {
          row: 'volumes/mount_point-of-the-root',
          expected: 'vda1 / ext4 rw',
          guest: (seen) => mountedAt(seen, '/'),
        },
        size('size_in_mb-root', 'vda', 'vda1', 192, 'root'),
        size('size_in_mb-data', 'vdc', 'vdc', 100, 'outer'),
        size('size_in_mb-with-a-partition', 'vdb', 'vdb1', 72, 'inner'),
        {
          row: 'volumes/partition_id-root',
          expected: `root=PARTUUID=${ROOT_PARTITION.toLowerCase()}, and blkid agrees`,
          guest: (seen) =>
            `${wordsOf(seen, 'root')}, ${wordsOf(seen, 'root').endsWith(`=${partitionOf(seen, 'vda1')}`) ? 'and blkid agrees' : partitionOf(seen, 'vda1')}`,
        },
        {
          row: 'volumes/partition_id-data',
          expected: DATA_PARTITION,
          guest: (seen) => partitionOf(seen, 'vdb1'),
        },
      ],
    },
    {
      name: 'volumes',
      guests: (images) => ({
        several: reporting(images, {
          volumes: [
            dataVolume('z-data', images.layers),
            rootVolume(images, { isReadOnly: true }),
            dataVolume('a-read-only', images.data, { isReadOnly: true }),
            dataVolume('m-other', images.other),
          ],
        }),
      }),
      rows: [
        {
          row: 'volumes/root-read-only',
          expected: 'ro, a write is refused',
          guest: (seen) => {
            const ro = seen.report.value('disk', 'vda', 'ro') === '1' ? 'ro' : 'rw';
            const write = seen.report.all('write', 'vda')[0]?.text.split(' ')[1];
            return `${ro}, a write is ${write}`;
          },
        },
        {
          row: 'volumes/root-read-only-on-the-command-line',
          expected: 'root=/dev/vda ro',
          guest: (seen) => wordsOf(seen, 'root', 'ro', 'rw'),
        },
        {
          row: 'volumes/data',
          expected: 'rw, a write is ok',
          guest: (seen) => {
            const ro = seen.report.value('disk', 'vdb', 'ro') === '1' ? 'ro' : 'rw';
            return `${ro}, a write is ${seen.report.all('write', 'vdb')[0]?.text.split(' ')[1]}`;
          },
        },
        {
          row: 'volumes/data-read-only',
          expected: 'ro, a write is refused by file system and disk',
          guest: (seen) => {
            const ro = seen.report.value('disk', 'vdc', 'ro') === '1' ? 'ro' : 'rw';
            const [write, device] = ['write', 'write_device'].map(
              (kind) => seen.report.all(kind, 'vdc')[0]?.text.split(' ')[1],
            );
            return `${ro}, a write is ${write === device ? write : `${write}, ${device}`} by file system and disk`;
          },
        },
        {
          row: 'volumes/order',
          expected: 'root z-data a-read-only m-other',
          guest: ({ report }) =>
            ['vda', 'vdb', 'vdc', 'vdd'].map((name) => report.value('disk', name, 'serial')).join(' '),
          host: ({ record }) =>
            judged(record.spec?.volumes.length === 4, `${record.spec?.volumes.map(({ id }) => id).join(' ')}`),
        },
        {
          row: 'volumes/status.serial',
          expected: 'root z-data a-read-only m-other',
          guest: ({ report }) =>
            ['vda', 'vdb', 'vdc', 'vdd'].map((name) => report.value('disk', name, 'serial')).join(' '),
          host: ({ record }) => {
            const told = record.spec?.volumes.map(({ id }) => record.status?.volumes[id]?.serial).join(' ');
            return judged(told === 'root z-data a-read-only m-other', `${told}`);
          },
        },
        {
          row: 'volumes/no-disk-that-the-spec-does-not-name',
          expected: 'vda vdb vdc vdd',
          guest: ({ report }) =>
            report
              .all('disk')
              .map(({ name }) => name)
              .join(' '),
        },
        {
          row: 'volumes/source.container_source',
          expected: 'data| other|',
          guest: ({ report }) =>
            ['vdc', 'vdd'].map((name) => report.all('text', name)[0]?.text.split(' ').slice(2).join(' ')).join(' '),
        },
        layered('layers', 'above| below| twice|', (seen) =>
          ['replaced', 'kept', 'first'].map((path) => textOf(seen, 'text', path)).join(' '),
        ),
        layered('whiteouts', 'removed not there, emptied/removed not there, emptied/new 81a4', (seen) =>
          ['removed', 'emptied/removed', 'emptied/new']
            .map((path) => `${path} ${wordOf(seen, path, 'mode')}`)
            .join(', '),
        ),
        layered('owners', 'replaced 7:8, kept 1234:5678', (seen) =>
          ['replaced', 'kept'].map((path) => `${path} ${wordOf(seen, path, 'owner')}`).join(', '),
        ),
        layered('modes', 'replaced 89ed, kept 81a0, emptied 43ff', (seen) =>
          ['replaced', 'kept', 'emptied'].map((path) => `${path} ${wordOf(seen, path, 'mode')}`).join(', '),
        ),
        // No layer has an entry for it.
        layered('root-directory', '41ed 0:0', (seen) => {
          const [, , mode, owner] =
            seen.report
              .all('file', 'vdb')
              .find(({ text }) => text.startsWith('vdb . '))
              ?.text.split(' ') ?? [];
          return `${mode?.slice(5)} ${owner?.slice(6)}`;
        }),
        layered('xattrs', `CapEff:${CAP_NET_RAW_MASK}`, (seen) => textOf(seen, 'capabilities', 'capable/busybox')),
        layered('hard-links', '2 links, one inode', (seen) => {
          const inodes = ['first', 'second'].map((path) => wordOf(seen, path, 'inode'));
          return `${wordOf(seen, 'first', 'links')} links, ${inodes[0] === inodes[1] ? 'one inode' : inodes.join(' and ')}`;
        }),
        layered('symlinks', 'kept', (seen) => wordOf(seen, 'pointer', 'to')),
      ],
    },
    {
      name: 'copies',
      guests: (images) => ({
        one: reporting(images, { kernel: { image: images.anyKernel, cmdline: 'quiet report.mark=one' } }),
        two: reporting(images, { kernel: { image: images.anyKernel, cmdline: 'quiet report.mark=two' } }),
      }),
      next: async ({ ask }) => {
        await ask('one', 'mark');
        await ask('two', 'mark');
        return {};
      },
      rows: [
        {
          row: 'volumes/root',
          expected: 'rw, a write is ok',
          guest: (seen) => {
            const ro = seen.report.value('disk', 'vda', 'ro') === '1' ? 'ro' : 'rw';
            return `${ro}, a write is ${seen.report.all('write', 'vda')[0]?.text.split(' ')[1]}`;
          },
        },
        {
          row: 'volumes/copy-on-write',
          expected: 'none one, none two',
          guest: ({ guests }) =>
            ['one', 'two']
              .map((name) => `${guests[name]?.report.text('mark_before')} ${guests[name]?.reports[1]?.text('mark')}`)
              .join(', '),
          host: ({ guests }) => {
            const [a, b] = ['one', 'two'].map((name) => guests[name]?.record.status?.volumes.root);
            const ok = a?.imageDigest === b?.imageDigest && a?.mount?.source !== b?.mount?.source;
            return judged(ok, ok ? 'one image, two files' : 'not of one image, or one file');
          },
        },
      ],
    },
  ],
  refused: [
    {
      row: 'volumes/two-roots',
      spec: (images) => reporting(images, { volumes: [rootVolume(images), rootVolume(images, { id: 'second' })] }),
      field: 'volumes',
      words: '2 volumes are is_root',
    },
    {
      row: 'volumes/no-root-and-no-initrd',
      spec: (images) => {
        const { initrd: _, ...spec } = reporting(images, { volumes: [] });
        return spec;
      },
      field: 'volumes',
      words: 'one volume must be is_root',
    },
    {
      row: 'volumes/id-twice',
      spec: (images) => reporting(images, { volumes: [rootVolume(images), dataVolume('root', images.data)] }),
      field: 'volumes[1].id',
      words: 'used twice',
    },
    {
      row: 'volumes/mount_point-that-leaves-its-parent',
      spec: withData({ mountPoint: '/data/../etc' }),
      field: 'volumes[1].mount_point',
      words: 'must be without ".."',
    },
    {
      row: 'volumes/mount_point-relative',
      spec: withData({ mountPoint: 'data' }),
      field: 'volumes[1].mount_point',
      words: 'must be an absolute path',
    },
    {
      row: 'volumes/mount_point-twice',
      spec: withData({ mountPoint: '/data' }, { mountPoint: '/data' }),
      field: 'volumes[2].mount_point',
      words: 'is the mount_point of volumes[1] too',
    },
    {
      row: 'volumes/mount_point-of-the-root-elsewhere',
      spec: (images) => reporting(images, { volumes: [rootVolume(images, { mountPoint: '/data' })] }),
      field: 'volumes[0].mount_point',
      words: 'the root volume is mounted at "/"',
    },
    {
      row: 'volumes/partition_id-no-uuid',
      spec: withData({ partitionId: 'vda1' }),
      field: 'volumes[1].partition_id',
      words: 'must be a UUID',
    },
    {
      row: 'volumes/partition_id-twice',
      spec: withData({ partitionId: DATA_PARTITION }, { partitionId: DATA_PARTITION.toUpperCase() }),
      field: 'volumes[2].partition_id',
      words: 'is the partition_id of volumes[1] too',
    },
    {
      row: 'volumes/size_in_mb-negative',
      spec: withData({ sizeInMb: -1 }),
      field: 'volumes[1].size_in_mb',
      words: '-1 is negative',
    },
    {
      row: 'volumes/size_in_mb-more-than-a-disk-can-have',
      spec: withData({ sizeInMb: 2 ** 31 - 1 }),
      field: 'volumes[1].size_in_mb',
      words: 'more than a disk can have',
    },
    {
      row: 'volumes/more-than-the-provider-has-room-for',
      spec: (images, { maxDevices }) =>
        reporting(images, {
          volumes: [
            rootVolume(images),
            ...Array.from({ length: maxDevices }, (_, i) => dataVolume(`data${i}`, images.data)),
          ],
        }),
      field: 'volumes',
      words: 'has room for',
    },
    {
      row: 'volumes/source-left-out',
      spec: (images) => reporting(images, { volumes: [rootVolume(images), { id: 'data' }] }),
      field: 'volumes[1].source.container_source',
      words: 'is required',
    },
  ],
};
