import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makeImage } from '../../../guest/make-image.ts';
import { blkidFiles } from '../../support/blkid.ts';
import { demoSpec, startHost } from '../../support/daemon.ts';
import { leaveToProofs } from '../../support/proofs.ts';

const ROOT_PART = 'ABCDEF01-1111-2222-3333-444444444444';
const DATA_PART = '0badcafe-aaaa-bbbb-cccc-dddddddddddd';

/** Says all that these rows are about. `disk`: 512-byte sectors; `room`: the file system's KiB, as df counts. */
const PROBE = `#!/bin/sh
say() { echo "probe: $*"; }
say "cmdline $(cat /proc/cmdline)"
for disk in /sys/block/vd*; do
  say "disk \${disk##*/} $(cat "$disk/size") $(cat "$disk/ro")"
done
blkid | while read -r line; do say "blkid $line"; done
while read -r device path kind options _; do say "mount $device $path $kind $options"; done </proc/mounts
for path in / '/srv/a b' '/srv/a b/inner'; do
  say "room $(df -Pk "$path" | tail -n 1 | tr -s ' ')"
done
say "read $(cat '/srv/a b/hello') $(cat '/srv/a b/inner/hello')"
echo x >'/srv/a b/written' && say 'wrote rw'
echo x 2>/dev/null >'/srv/a b/inner/written' || say 'not ro'
say end
`;

test('sizes, partitions and mount points are what the guest sees', async (t) => {
  leaveToProofs(t); // conformance's volumes/size_in_mb, partition_id and mount_point rows
  const host = await startHost(t);
  const root = makeImage({
    layout: `${host.images}/probe`,
    tag: 'root',
    demo: true,
    files: { ...blkidFiles(), '/etc/flintlock/run': { mode: 0o755, content: PROBE } },
  });
  const data = makeImage({ layout: `${host.images}/data`, tag: 'v1', files: { '/hello': 'from-the-image\n' } });
  const source = { containerSource: data };
  const made = await host.create(
    demoSpec('disks', {
      interfaces: [],
      volumes: [
        // Before what it lies in: the guest mounts them the right way round.
        {
          ...{ id: 'inner', source, isReadOnly: true, partitionId: DATA_PART, sizeInMb: 72 },
          mountPoint: '/srv/a b/inner',
        },
        {
          ...{ id: 'root', isRoot: true, source: { containerSource: root }, mountPoint: '/' },
          ...{ partitionId: ROOT_PART, sizeInMb: 192 },
        },
        { id: 'outer', source, sizeInMb: 100, mountPoint: '/srv/a b' },
        { id: 'plain', source },
      ],
    }),
  );
  const uid = made.spec?.uid ?? '';
  await host.untilConsole(uid, /probe: end/, 150_000);
  const vm = await host.until(uid, 'CREATED');
  const lines = (await host.console(uid)).split(/\r?\n/).flatMap((line) => /probe: (.*)/.exec(line)?.[1] ?? []);
  const facts = (kind: string): readonly (readonly string[])[] =>
    lines.filter((line) => line.startsWith(`${kind} `)).map((line) => line.split(' ').slice(1));

  // The root, by its partition; UUIDs in the form that Linux shows.
  const words = facts('cmdline')[0] ?? [];
  expect(words).toContain(`root=PARTUUID=${ROOT_PART.toLowerCase()}`);
  expect(words.filter((word) => word.startsWith('root='))).toHaveLength(1);
  expect(words.filter((word) => word.startsWith('flintlock.'))).toEqual([
    'flintlock.mount=vdc:/srv/a%20b',
    'flintlock.mount=vdb1:/srv/a%20b/inner:ro',
  ]);
  const blkid = lines.filter((line) => line.startsWith('blkid '));
  for (const [device, uuid] of [
    ['vda1', ROOT_PART],
    ['vdb1', DATA_PART],
  ])
    expect(blkid).toContainEqual(
      expect.stringMatching(new RegExp(`/dev/${device}: .*TYPE="ext4".* PARTUUID="${uuid?.toLowerCase()}"`)),
    );
  expect(blkid.filter((line) => line.includes('PARTUUID='))).toHaveLength(2);

  // The devices, root first, and then as in the spec.
  const sizes = Object.fromEntries(facts('disk').map(([disk = '', sectors]) => [disk, Number(sectors) / 2048]));
  expect(sizes).toMatchObject({ vda: 192, vdb: 72, vdc: 100 });
  expect(facts('disk').map(([disk, , ro]) => [disk, ro])).toEqual([
    ['vda', '0'],
    ['vdb', '1'],
    ['vdc', '0'],
    ['vdd', '0'],
  ]);
  expect(vm.status?.volumes).toMatchObject({
    root: { sizeInMb: 192 },
    inner: { sizeInMb: 72 },
    outer: { sizeInMb: 100 },
    plain: { sizeInMb: sizes.vdd },
  });

  // The file systems fill them: all but ext4's own tables, its journal, and the partition table.
  const rooms = Object.fromEntries(facts('room').map((words) => [words.slice(5).join(' '), Number(words[1]) / 1024]));
  for (const [path, size] of [
    ['/', 192],
    ['/srv/a b', 100],
    ['/srv/a b/inner', 72],
  ] as const) {
    expect(rooms[path]).toBeLessThan(size);
    expect(rooms[path]).toBeGreaterThan(size * 0.8);
  }

  // Mounted where the images know nothing of it, each as it may be written.
  const mounts = facts('mount').map(([device, path, kind, options = '']) => [
    device,
    path,
    kind,
    options.split(',')[0],
  ]);
  expect(mounts).toContainEqual(['/dev/vdc', '/srv/a\\040b', 'ext4', 'rw']);
  expect(mounts).toContainEqual(['/dev/vdb1', '/srv/a\\040b/inner', 'ext4', 'ro']);
  expect(mounts).toContainEqual([expect.stringMatching(/vda1|root/), '/', 'ext4', 'rw']);
  expect(lines).toEqual(expect.arrayContaining(['read from-the-image from-the-image', 'wrote rw', 'not ro']));

  // The spec comes back as it was meant.
  const [first, second] = vm.spec?.volumes ?? [];
  expect(first).toMatchObject({ id: 'root', mountPoint: '/', sizeInMb: 192, partitionId: ROOT_PART.toLowerCase() });
  expect(second).toMatchObject({ id: 'inner', mountPoint: '/srv/a b/inner', sizeInMb: 72, partitionId: DATA_PART });

  // And all of it goes.
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('one partitioned disk image serves every microVM that asks for the same', async (t) => {
  const host = await startHost(t);
  const image = makeImage({ layout: `${host.images}/root`, tag: 'v1', demo: true });
  const spec = (id: string, partitionId: string) =>
    demoSpec(id, {
      interfaces: [],
      volumes: [{ id: 'root', isRoot: true, isReadOnly: true, partitionId, source: { containerSource: image } }],
    });
  const uids: string[] = [];
  for (const [id, part] of [
    ['a', ROOT_PART],
    ['b', ROOT_PART.toLowerCase()],
    ['c', DATA_PART],
  ] as const)
    uids.push((await host.create(spec(id, part))).spec?.uid ?? '');
  const vms = await Promise.all(uids.map((uid) => host.until(uid, 'CREATED')));
  const paths = vms.map((vm) => vm.status?.volumes.root?.mount?.source ?? '');
  expect(paths[0]).toBe(paths[1]);
  expect(paths[2]).not.toBe(paths[0]);
  // The first partition's own GUID lies 16 bytes into its entry, its first three groups little-endian.
  const guid = readFileSync(paths[0] ?? '').subarray(1024 + 16, 1024 + 32);
  expect(guid.toString('hex')).toBe('01efcdab111122223333444444444444');
  const { images } = await host.imageService.listImages({});
  expect(images.find(({ references }) => references.includes(image))?.goldens).toHaveLength(2);
  await Promise.all(uids.map((uid) => host.untilConsole(uid, /^flintlock-guest: up .*volumes=vda:ro/)));
});

test('a volume smaller than its image is FAILED at once, with the figures, and nothing is left of it', async (t) => {
  const host = await startHost(t);
  const data = makeImage({
    layout: `${host.images}/big`,
    tag: 'v1',
    files: { '/blob': Buffer.alloc(12 << 20, 'x') },
  });
  for (const partitionId of [undefined, DATA_PART]) {
    const volume = { id: 'data', sizeInMb: 10, source: { containerSource: data }, ...(partitionId && { partitionId }) };
    const made = await host.create(demoSpec('small', { interfaces: [], volumes: [volume] }));
    const uid = made.spec?.uid ?? '';
    const { status } = await host.until(uid, 'FAILED');
    expect(status?.reason).toBe('VolumeTooSmall');
    expect(status?.message).toMatch(/volume of 10 MB .* holds 1\d MB in \d+ files and needs about [12]\d MB/);
    expect(status?.message).toContain('raise size_in_mb');
    expect(status?.retry).toBe(1); // one attempt, and no other
    await host.vms.deleteMicroVM({ uid });
    await host.untilGone(uid);
  }
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});
