import type { Images } from './images.ts';
import { GATEWAY } from './lab.ts';
import type { Report } from './report.ts';
import { type Group, type GuestRow, judged, rowOf, type Seen } from './row.ts';
import { dataVolume, reporting, tap } from './specs.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** What report.sh is to other guests: user-data, run by cloud-init when all else is done. */
const SCRIPT = `
: >/run/lines
say() { echo "$*" >>/run/lines; }
say "begin=1"
say "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
say "hostname=$(hostname)"
say "instance_id=$(cat /var/lib/cloud/data/instance-id)"
say "datasource=$(cat /var/lib/cloud/instance/datasource)"
say "vendor=$(cat /root/vendor)"
for nic in /sys/class/net/*; do
  name=\${nic##*/}
  [ "$name" = lo ] || say "link=$name mac=$(cat "$nic/address")"
  ip -4 -o addr show dev "$name" | while read -r _ _ _ address _; do say "address=$name $address"; done
done
ip route | while read -r route; do say "route=$route"; done
resolvectl dns | while read -r line; do say "dns=$line"; done
while read -r source path type options _; do
  case $source in /dev/vd*) say "mount=\${source#/dev/} $path $type $options" ;; esac
done </proc/mounts
say "hello=$(cat /srv/data/hello)"
say "failed=$(systemctl list-units --failed --plain --no-legend | cut -d ' ' -f 1 | paste -sd ,)"
# Nobody can ask for it again: it is said twice, in case that one comes through broken.
for _ in 1 2; do
  while read -r line; do echo "report: $line"; done </run/lines >/dev/console
  echo "report: end=$(wc -l </run/lines) $(md5sum </run/lines | cut -d ' ' -f 1)" >/dev/console
done
`;

const metadata = (id: string): Record<string, string> => ({
  'meta-data': base64(`instance-id: ${id}\nlocal-hostname: ${id}-host\n`),
  'user-data': base64(`#cloud-config\nruncmd:\n- ${JSON.stringify(SCRIPT)}\n`),
  'vendor-data': base64('#cloud-config\nwrite_files:\n- {path: /root/vendor, content: from the vendor}\n'),
});

const debian = (images: Images, id: string, addNetworkConfig: boolean, interfaces: ReturnType<typeof tap>[]) => {
  const { initrd: _, ...spec } = reporting(images, {
    vcpu: 2,
    memoryInMb: 512,
    kernel: { image: images.small, cmdline: 'systemd.show_status=no', addNetworkConfig },
    volumes: [
      { id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: images.debian } },
      dataVolume('data', images.data, { mountPoint: '/srv/data' }),
    ],
    interfaces,
    metadata: metadata(id),
  });
  return spec;
};

const row = (name: string, guest: string, expected: GuestRow['expected'], see: (report: Report) => string): GuestRow =>
  rowOf(`cloud-init/${name}`, guest, expected, see);

const datasource = (report: Report): string => report.text('datasource').split(': ')[1] ?? 'none';
const macOf = (seen: Seen, guest: string, name: string): string =>
  seen.guests[guest]?.record.status?.networkInterfaces[name]?.guestMac ?? 'a MAC in the status';
const mounted = (report: Report): string =>
  report
    .all('mount')
    .find(({ text }) => text.split(' ')[1] === '/srv/data')
    ?.text.split(' ')
    .slice(0, 3)
    .join(' ') ?? 'nothing';

/** Guests with systemd and cloud-init: half a minute each, on an idle machine. */
export const cloudInit: Group = {
  scenes: [
    {
      name: 'cloud-init',
      slow: true,
      guests: (images) => ({
        // It has its metadata from a disk, because no interface may ask.
        disk: debian(images, 'i-disk', false, [tap('lan0', { address: '10.77.0.220' }), tap('alpha')]),
        service: debian(images, 'i-service', true, [tap('lan0', { address: '10.77.0.223', allowMetadataReq: true })]),
      }),
      next: async ({ configured }) => ({ disk: await configured('disk'), service: await configured('service') }),
      rows: [
        {
          ...row(
            'guest-configured',
            'disk',
            'True Configured: The guest has applied lan0, alpha, /srv/data',
            (report) =>
              report.text('boot_id') === 'nothing'
                ? 'nothing'
                : 'True Configured: The guest has applied lan0, alpha, /srv/data',
          ),
          host: ({ notes }) => notes.disk ?? '',
        },
        {
          ...row(
            'guest-configured-by-the-service',
            'service',
            'True Configured: The guest has applied lan0, /srv/data',
            (report) =>
              mounted(report).startsWith('vdb')
                ? 'True Configured: The guest has applied lan0, /srv/data'
                : 'not mounted',
          ),
          host: ({ notes }) => notes.service ?? '',
        },
        row('by-disk', 'disk', 'DataSourceNoCloud [seed=/dev/vdc][dsmode=net]', datasource),
        row('by-disk-user-data', 'disk', 'it ran', (report) =>
          report.text('boot_id') === 'nothing' ? 'nothing' : 'it ran',
        ),
        row('by-disk-vendor-data-merged', 'disk', 'from the vendor, vdb /srv/data ext4', (report) =>
          [report.text('vendor'), mounted(report)].join(', '),
        ),
        row('no-unit-failed', 'disk', '', (report) => report.text('failed').trim()),
        row('by-disk-instance-id', 'disk', 'i-disk', (report) => report.text('instance_id')),
        row('by-disk-hostname', 'disk', 'i-disk-host', (report) => report.text('hostname')),
        {
          ...row(
            'guest_device_name',
            'disk',
            (seen) => ['alpha', 'lan0'].map((name) => `${name} ${macOf(seen, 'disk', name)}`).join(', '),
            (report) =>
              report
                .all('link')
                .map(({ name }) => `${name} ${report.value('link', name, 'mac')}`)
                .toSorted()
                .join(', '),
          ),
        },
        row('address-static', 'disk', '10.77.0.220/24', (report) => report.text('address', 'lan0').split(' ')[1] ?? ''),
        row('address-static-gateway', 'disk', `default via ${GATEWAY} dev lan0`, (report) => {
          const routes = report.all('route', 'default').map(({ text }) => text);
          return (
            routes
              .find((route) => route.includes('dev lan0'))
              ?.split(' ')
              .slice(0, 5)
              .join(' ') ?? 'none'
          );
        }),
        row(
          'address-static-dns',
          'disk',
          GATEWAY,
          (report) =>
            /\(lan0\): (\S+)/.exec(report.all('dns').find(({ text }) => text.includes('(lan0)'))?.text ?? '')?.[1] ??
            'none',
        ),
        row(
          'address-by-dhcp',
          'disk',
          ({ guests }) =>
            guests.disk?.record.status?.networkInterfaces.alpha?.addresses[0] ?? 'an address in the status',
          (report) => report.text('address', 'alpha').split(' ')[1]?.split('/')[0] ?? 'none',
        ),
        row('mount_point', 'disk', 'vdb /srv/data ext4, data', (report) =>
          [mounted(report), report.text('hello')].join(', '),
        ),
        {
          ...row(
            'by-the-service',
            'service',
            'DataSourceNoCloudNet [seed=cmdline,http://169.254.169.254/latest/][dsmode=net]',
            datasource,
          ),
          host: ({ guests }) => {
            const volumes = Object.keys(guests.service?.record.status?.volumes ?? {});
            return judged(volumes.length === 2, `volumes ${volumes.toSorted().join(' ')}`);
          },
        },
        row(
          'by-the-service-address-static',
          'service',
          '10.77.0.223/24',
          (report) => report.text('address', 'lan0').split(' ')[1] ?? '',
        ),
        row('by-the-service-user-data', 'service', 'it ran', (report) =>
          report.text('boot_id') === 'nothing' ? 'nothing' : 'it ran',
        ),
        row('by-the-service-vendor-data-merged', 'service', 'from the vendor, vdb /srv/data ext4', (report) =>
          [report.text('vendor'), mounted(report)].join(', '),
        ),
        row('by-the-service-instance-id', 'service', 'i-service', (report) => report.text('instance_id')),
        row('by-the-service-hostname', 'service', 'i-service-host', (report) => report.text('hostname')),
      ],
    },
  ],
  refused: [],
};
