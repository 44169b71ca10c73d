import { parse } from 'yaml';
import type { MicroVM } from '../../src/gen/types/microvm_pb.ts';
import { memory, vcpu } from './machine.ts';
import type { Group, GuestRow, Seen } from './row.ts';
import { cmdline, reporting, tap, wordsOf } from './specs.ts';

/** What a kernel named by kernel-named.ts says. */
const kernelIs = (row: string, name: string, filename: string): GuestRow => ({
  row: `kernel/${row}`,
  expected: `#1 ${name}`,
  guest: ({ report }) => report.text('uname').split(' ').slice(1).join(' '),
  host: ({ record }) => ({
    ok: record.status?.kernelFilename === filename,
    text: `kernel_filename ${record.status?.kernelFilename}`,
  }),
});

const initrdIs = (row: string, name: string): GuestRow => ({
  row: `kernel/${row}`,
  expected: name,
  guest: ({ report }) => report.text('initrd'),
});

const has =
  (...words: readonly string[]) =>
  (seen: Seen): string =>
    words.filter((word) => cmdline(seen).includes(word)).join(' ');

const LAN = '02:00:5e:00:01:01';

/** What cloud-init is to read: each interface found by its MAC address, and named. */
function netplan({ spec, status }: MicroVM): string {
  const ethernets = (spec?.interfaces ?? []).map(({ guestDeviceName: name }) => {
    const macaddress = status?.networkInterfaces[name]?.guestMac;
    return [name, { match: { macaddress }, 'set-name': name, dhcp4: true }];
  });
  return JSON.stringify({ version: 2, ethernets: Object.fromEntries(ethernets) });
}

export const kernel: Group = {
  scenes: [
    {
      // Nothing is given that can be left out.
      name: 'defaults',
      guests: (images) => ({
        zero: reporting(images, {
          vcpu: 0,
          memoryInMb: 0,
          kernel: { image: images.named, cmdline: 'quiet rdinit=/named panic=3 bare flag="two words" console=ttyS0' },
          initrd: { image: images.named },
        }),
      }),
      rows: [
        vcpu('vcpu-0-is-2', 2),
        memory('memory_in_mb-0-is-1024', 1024),
        kernelIs('filename-left-out', 'well-known', 'vmlinux'),
        initrdIs('initrd-filename-left-out', 'well-known'),
        {
          row: 'kernel/cmdline-appended',
          expected: 'quiet bare',
          guest: has('quiet', 'bare'),
        },
        {
          row: 'kernel/cmdline-user-key-wins',
          expected: 'panic=3 console=ttyS0',
          guest: (seen) => wordsOf(seen, 'panic', 'console'),
        },
        {
          row: 'kernel/cmdline-bare-flag',
          expected: 'bare',
          guest: (seen) => wordsOf(seen, 'bare'),
        },
        {
          row: 'kernel/cmdline-spaces-in-quotes',
          expected: 'flag="two words"',
          guest: ({ report }) => /flag="[^"]*"/.exec(report.text('cmdline'))?.[0] ?? 'nothing',
        },
        {
          row: 'kernel/cmdline-defaults',
          expected: 'root=/dev/vda rw',
          guest: (seen) => wordsOf(seen, 'root', 'rw', 'ro'),
        },
        {
          row: 'kernel/add_network_config-off',
          expected: 'no network-config=',
          guest: (seen) =>
            cmdline(seen).length > 1 ? wordsOf(seen, 'network-config') || 'no network-config=' : 'nothing',
        },
        {
          row: 'interfaces/none',
          expected: 'no interface',
          guest: ({ report }) => {
            const id = report.text('boot_id');
            return id === 'nothing' || report.all('link').length > 0 ? `${report.all('link').length}` : 'no interface';
          },
          host: ({ record }) => ({
            ok: Object.keys(record.status?.networkInterfaces ?? {}).length === 0,
            text: `${Object.keys(record.status?.networkInterfaces ?? {}).length} in the status`,
          }),
        },
      ],
    },
    {
      name: 'named',
      guests: (images) => ({
        given: reporting(images, {
          vcpu: 4,
          kernel: { image: images.named, cmdline: 'quiet rdinit=/named', filename: 'special-kernel' },
          initrd: { image: images.named, filename: 'special-initrd' },
        }),
        nested: reporting(images, {
          kernel: { image: images.named, cmdline: 'quiet rdinit=/named', filename: '/deep/er/kernel' },
          initrd: { image: images.named, filename: '' },
        }),
      }),
      rows: [
        vcpu('vcpu-4', 4),
        kernelIs('filename-given', 'given', 'special-kernel'),
        initrdIs('initrd-filename-given', 'given'),
        {
          row: 'kernel/filename-nested',
          expected: '#1 nested',
          guest: ({ guests }) => guests.nested?.report.text('uname').split(' ').slice(1).join(' ') ?? '',
          host: ({ guests }) => {
            const filename = guests.nested?.record.status?.kernelFilename;
            return { ok: filename === 'deep/er/kernel', text: `kernel_filename ${filename}` };
          },
        },
        {
          row: 'kernel/initrd-filename-empty',
          expected: 'well-known',
          guest: ({ guests }) => guests.nested?.report.text('initrd') ?? '',
        },
      ],
    },
    {
      name: 'pulled',
      guests: (images) => ({
        tag: reporting(images, { kernel: { image: images.byTag, cmdline: 'quiet' } }),
        digest: reporting(images, { vcpu: 2, kernel: { image: images.byDigest, cmdline: 'quiet', filename: '' } }),
      }),
      rows: [
        kernelIs('image-by-tag', 'first', 'vmlinux'),
        {
          row: 'kernel/image-by-digest',
          expected: '#1 second',
          guest: ({ guests }) => guests.digest?.report.text('uname').split(' ').slice(1).join(' ') ?? '',
          host: ({ guests }) => {
            const record = guests.digest?.record;
            const digest = record?.status?.kernelImageDigest ?? '';
            return {
              ok: record?.spec?.kernel?.image.endsWith(digest) === true && digest !== '',
              text: digest.slice(0, 19),
            };
          },
        },
        {
          row: 'kernel/filename-empty',
          expected: '#1 second',
          guest: ({ guests }) => guests.digest?.report.text('uname').split(' ').slice(1).join(' ') ?? '',
          host: ({ guests }) => {
            const filename = guests.digest?.record.status?.kernelFilename;
            return { ok: filename === 'vmlinux', text: `kernel_filename ${filename}` };
          },
        },
        {
          row: 'machine/vcpu-2',
          expected: '2',
          guest: ({ guests }) => guests.digest?.report.text('cpus') ?? '',
          host: ({ guests }) => String(guests.digest?.record.spec?.vcpu),
        },
      ],
    },
    {
      name: 'told',
      guests: (images) => ({
        three: reporting(images, {
          kernel: { image: images.kernel, cmdline: 'quiet', addNetworkConfig: true },
          // Neither in the order of the alphabet nor of the kernel.
          interfaces: [tap('lan0', { guestMac: LAN }), tap('eth0'), tap('a1')],
        }),
      }),
      rows: [
        {
          row: 'kernel/add_network_config',
          expected: ({ record }) => netplan(record),
          guest: (seen) => {
            const [, encoded = ''] = /network-config=(\S+)/.exec(seen.report.text('cmdline')) ?? [];
            return JSON.stringify(parse(Buffer.from(encoded, 'base64').toString()));
          },
        },
        {
          row: 'interfaces/guest_device_name',
          expected: ({ record }) => {
            const nic = (name: string): string => `${name} ${record.status?.networkInterfaces[name]?.guestMac}`;
            return ['a1', 'eth0', 'lan0'].map(nic).join(', ');
          },
          guest: ({ report }) =>
            report
              .all('link')
              .map(({ name }) => `${name} ${report.value('link', name, 'mac')}`)
              .toSorted()
              .join(', '),
        },
        {
          row: 'interfaces/address-by-dhcp-with-names',
          expected: ({ record }) =>
            ['lan0', 'eth0', 'a1'].map((name) => record.status?.networkInterfaces[name]?.addresses[0]).join(' '),
          guest: ({ report }) =>
            ['lan0', 'eth0', 'a1']
              .map((name) => report.text('address', name).split(' ')[1]?.split('/')[0] ?? 'none')
              .join(' '),
        },
      ],
    },
    {
      name: 'alone',
      guests: (images) => ({
        initrd: reporting(images, { initrd: { image: images.staying }, volumes: [] }),
      }),
      rows: [
        {
          row: 'kernel/initrd-alone',
          expected: 'no disk, and no root= or rw',
          guest: (seen) => {
            const disks = seen.report.all('disk').length;
            const words = wordsOf(seen, 'root', 'rw', 'ro');
            const isAlone = disks === 0 && words === '' && cmdline(seen).length > 1;
            return isAlone ? 'no disk, and no root= or rw' : `${disks} disks, ${words}`;
          },
        },
      ],
    },
  ],
  refused: [
    {
      row: 'kernel/left-out',
      spec: (images) => {
        const { kernel: _, ...spec } = reporting(images);
        return spec;
      },
      field: 'kernel',
      words: 'is required',
    },
    {
      row: 'kernel/filename-that-leaves-the-image',
      spec: (images) => reporting(images, { kernel: { image: images.named, filename: '../../etc/shadow' } }),
      field: 'kernel.filename',
      words: 'leaves the image',
    },
    {
      row: 'kernel/initrd-filename-that-leaves-the-image',
      spec: (images) => reporting(images, { initrd: { image: images.named, filename: 'boot/../../x' } }),
      field: 'initrd.filename',
      words: 'leaves the image',
    },
    {
      row: 'kernel/cmdline-with-control-characters',
      spec: (images) => reporting(images, { kernel: { image: images.kernel, cmdline: 'quiet\nroot=/dev/sda' } }),
      field: 'kernel.cmdline',
      words: 'control characters',
    },
    {
      row: 'kernel/cmdline-too-long',
      spec: (images) => reporting(images, { kernel: { image: images.kernel, cmdline: 'x'.repeat(5_000) } }),
      field: 'kernel.cmdline',
      words: '5000 characters',
    },
  ],
};
