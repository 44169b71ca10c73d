import { BUILT_MACHINE_ID } from '../../guest/stock.ts';
import type { Images } from './images.ts';
import type { Report } from './report.ts';
import { type Group, type GuestRow, judged, rowOf, type Seen } from './row.ts';
import { dataVolume, reporting, tap } from './specs.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** What a guest says once cloud-init has ended: of that, too. */
const SCRIPT = `#!/bin/sh
: >/run/lines
say() { echo "$*" >>/run/lines; }
cloud-init status --wait >/dev/null
say "begin=1"
say "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
cloud-init status >/dev/null
say "cloud_init=$? $(cloud-init --version 2>&1 | tr ' ' '\\n' | sed -n 's/^\\([0-9][0-9.]*\\).*/\\1/p')"
say "datasource=$(cat /var/lib/cloud/instance/datasource)"
say "cmdline=$(cat /proc/cmdline)"
say "release=$(uname -r)"
say "hostname=$(uname -n)"
say "machine_id=$(cat /etc/machine-id)"
say "own=$(getent ahosts "$(uname -n)" | head -n 1 | cut -d ' ' -f 1)"
say "localhost=$(getent ahostsv4 localhost | head -n 1 | cut -d ' ' -f 1)"
say "by_dns=$(getent ahostsv4 "$1" | head -n 1 | cut -d ' ' -f 1)"
for nic in /sys/class/net/*; do
  name=\${nic##*/}
  [ "$name" = lo ] || say "link=$name mac=$(cat "$nic/address")"
  ip -4 -o addr show dev "$name" | while read -r _ _ _ address _; do say "address=$name $address"; done
done
while read -r source path type options _; do
  case $source in /dev/vd*) say "mount=\${source#/dev/} $path $type $options" ;; esac
done </proc/mounts
say "hello=$(cat /srv/data/hello)"
say "modprobe=$(modprobe br_netfilter 2>&1 | tail -n 1)"
say "module=$(cut -d ' ' -f 1 /proc/modules | grep -x br_netfilter)"
say "failed=$(systemctl list-units --failed --plain --no-legend | cut -d ' ' -f 1 | paste -sd ,)"
say "resolver=$(grep -v '^#' /etc/resolv.conf | paste -sd ,)"
say "cloud_init_log=$(grep -E 'WARNING|ERROR|DEPRECATED' /var/log/cloud-init.log | grep -v 'ifup: interface .* already configured' | head -n 3 | paste -sd ' ' | cut -c 1-300 | tr -d '\\\\')"
# Nobody can ask for it again: it is said twice, in case that one comes through broken.
for _ in 1 2; do
  while IFS= read -r line; do echo "report: $line"; done </run/lines >/dev/console
  echo "report: end=$(wc -l </run/lines) $(md5sum </run/lines | cut -d ' ' -f 1)" >/dev/console
done
`;

/** It waits for the end of cloud-init, so that it cannot be a part of it. @param name - its own, in DNS */
const metadata = (id: string, name: string): Record<string, string> => ({
  'meta-data': base64(`instance-id: ${id}\nlocal-hostname: ${id}-host\n`),
  'user-data': base64(
    `#cloud-config\n${UNASKED}write_files:\n- {path: /root/report, permissions: '0755', content: ${JSON.stringify(SCRIPT)}}\n` +
      `runcmd:\n- [systemd-run, --no-block, --unit=report, /root/report, ${name}]\n`,
  ),
});

/**
 * cloud-init would set a locale that this Debian has not generated, which fails on any machine; and make keys of all kinds, which takes
 * half a minute under software emulation.
 */
const UNASKED = 'locale: C.UTF-8\nssh_genkeytypes: [ed25519]\n';

const STATIC = { bookworm: '10.77.0.221', trixie: '10.77.0.222' } as const;

/** Debian's kernel, as it comes with its modules. */
const stock = (images: Images, scene: string, guest: string, image: string, interfaces: ReturnType<typeof tap>[]) =>
  reporting(images, {
    vcpu: 1,
    memoryInMb: 512,
    // Else cloud-init 25 asks for DHCPv6 until it has the service's, and Debian has no client for that.
    kernel: { image: images.kernel, cmdline: 'quiet systemd.show_status=no', addNetworkConfig: true },
    volumes: [
      { id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: image } },
      dataVolume('data', images.data, { mountPoint: '/srv/data' }),
      dataVolume('modules', images.modules, { mountPoint: `/lib/modules/${images.release}`, isReadOnly: true }),
    ],
    interfaces,
    metadata: metadata(`i-${guest}`, `${scene}-${guest}.flintlock.internal`),
  });

const byDisk = (guest: keyof typeof STATIC) => [tap('lan0', { address: STATIC[guest] }), tap('alpha')];

const row = (name: string, guest: string, expected: GuestRow['expected'], see: (report: Report) => string): GuestRow =>
  rowOf(`stock/${guest}-${name}`, guest, expected, see);

const statusOf = (seen: Seen, guest: string, name: string) =>
  seen.guests[guest]?.record.status?.networkInterfaces[name];
const mountAt = (report: Report, path: string): string =>
  report
    .all('mount')
    .find(({ text }) => text.split(' ')[1] === path)
    ?.text.split(' ')
    .slice(0, 3)
    .join(' ') ?? 'nothing';

/** What holds of every guest, whatever it was made from. */
function rowsOf(guest: string, named: readonly string[], applied: readonly string[]): readonly GuestRow[] {
  const configured = (report: Report | undefined): string =>
    `True Configured: The guest has applied ${[...applied, `/lib/modules/${report?.text('release')}`, '/srv/data'].join(', ')}`;
  return [
    {
      ...row('cloud-init-is-done', guest, '0', (report) => report.text('cloud_init')),
      guest: ({ guests }) => {
        const report = guests[guest]?.report;
        const [status = ''] = report?.text('cloud_init').split(' ') ?? [];
        const log = report?.text('cloud_init_log') ?? 'no report';
        // By the service it sets up the network that is there already, and takes what ifup says of that for a warning.
        const isDone = status === '0' || (status === '2' && log === '');
        return judged(isDone, isDone ? '0' : `${status}: ${log}`);
      },
    },
    row('no-unit-failed', guest, '', (report) => report.text('failed').trim()),
    row('hostname', guest, `i-${guest}-host`, (report) => report.text('hostname')),
    row('localhost', guest, '127.0.0.1', (report) => report.text('localhost')),
    {
      ...row('own-name', guest, 'an address', (report) => report.text('own')),
      guest: ({ guests }) => {
        const own = guests[guest]?.report.text('own') ?? 'no report';
        return judged(/^[0-9a-f:.]+$/.test(own), own);
      },
    },
    row(
      'names-resolve',
      guest,
      (seen) => statusOf(seen, guest, named.at(-1) ?? '')?.addresses[0]?.split('/')[0] ?? 'an address in the status',
      (report) => report.text('by_dns'),
    ),
    {
      ...row('machine-id', guest, 'the microVM’s own', (report) => report.text('machine_id')),
      guest: ({ guests }) => {
        const report = guests[guest]?.report;
        const id = report?.text('machine_id') ?? 'no report';
        const told = report?.text('cmdline').split(' ').includes(`systemd.machine_id=${id}`) ?? false;
        return judged(told && id !== BUILT_MACHINE_ID, id);
      },
    },
    row(
      'guest_device_name',
      guest,
      (seen) => named.map((name) => `${name} ${statusOf(seen, guest, name)?.guestMac}`).join(', '),
      (report) =>
        report
          .all('link')
          .map(({ name }) => `${name} ${report.value('link', name, 'mac')}`)
          .toSorted()
          .join(', '),
    ),
    row(
      'addresses',
      guest,
      (seen) => named.map((name) => `${name} ${statusOf(seen, guest, name)?.addresses[0]?.split('/')[0]}`).join(', '),
      (report) =>
        report
          .all('address')
          .map(({ text }) => text.split('/')[0])
          .filter((text) => !text?.startsWith('lo '))
          .toSorted()
          .join(', '),
    ),
    row('mount_point', guest, 'vdb /srv/data ext4, data', (report) =>
      [mountAt(report, '/srv/data'), report.text('hello')].join(', '),
    ),
    row('modules', guest, 'br_netfilter', (report) => report.text('module').trim()),
    {
      ...row('guest-configured', guest, ({ guests }) => configured(guests[guest]?.report), configured),
      host: ({ notes }) => notes[guest] ?? '',
    },
  ];
}

/** A release that has its metadata from a disk. */
const byDiskRows = (guest: keyof typeof STATIC): readonly GuestRow[] => [
  ...rowsOf(guest, ['alpha', 'lan0'], ['lan0', 'alpha']),
  row('address-static', guest, `${STATIC[guest]}/24`, (report) => report.text('address', 'lan0').split(' ')[1] ?? ''),
];

/** What every Debian is as it comes, and an image as others build it: a minute and more each, on an idle machine. */
export const stockGuests: Group = {
  scenes: [
    {
      name: 'stock',
      slow: true,
      guests: (images) => ({
        built: stock(images, 'stock', 'built', images.stock('built'), [tap('eth0', { allowMetadataReq: true })]),
      }),
      next: async ({ configured }) => ({ built: await configured('built') }),
      rows: [
        ...rowsOf('built', ['eth0'], []),
        row(
          'by-the-service',
          'built',
          'DataSourceNoCloudNet',
          (report) => /DataSourceNoCloudNet/.exec(report.text('datasource'))?.[0] ?? report.text('datasource'),
        ),
      ],
    },
    {
      name: 'stock-by-disk',
      slow: true,
      // Debian 13 is above, and 12 and the way by a disk are among the guests of cloud-init's own group.
      leftToProofs: true,
      guests: (images) => ({
        bookworm: stock(images, 'stock-by-disk', 'bookworm', images.stock('bookworm'), byDisk('bookworm')),
        trixie: stock(images, 'stock-by-disk', 'trixie', images.stock('trixie'), byDisk('trixie')),
      }),
      next: async ({ configured }) => ({
        bookworm: await configured('bookworm'),
        trixie: await configured('trixie'),
      }),
      rows: [...byDiskRows('bookworm'), ...byDiskRows('trixie')],
    },
  ],
  refused: [],
};
