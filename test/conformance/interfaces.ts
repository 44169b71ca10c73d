import type { Images } from './images.ts';
import { GATEWAY, PARENT, PEER } from './lab.ts';
import { type Group, judged, type Seen } from './row.ts';
import { macvtap, reporting, tap } from './specs.ts';

const MACS = ['02:00:5e:00:00:0a', '02:00:5e:00:00:0b'] as const;

const link = ({ host, record }: Seen, name: string) => {
  const device = record.status?.networkInterfaces[name]?.hostDeviceName;
  return host.links.find(({ ifname }) => ifname === device);
};
const addressOf = ({ report }: Seen, name: string): string =>
  report.text('address', name).split(' ')[1]?.split('/')[0] ?? 'nothing';

export const interfaces: Group = {
  scenes: [
    {
      name: 'lasting',
      alone: true,
      guests: (images) => ({ one: reporting(images, { interfaces: [tap('eth0')] }) }),
      next: async ({ ask, reboot, restartDaemon, record }) => {
        await restartDaemon();
        await ask('one', `ping=${GATEWAY}`);
        const adopted = await record('one');
        await reboot('one');
        const rebooted = await record('one');
        const mac = (vm: typeof adopted) => vm.status?.networkInterfaces.eth0?.guestMac ?? '';
        return { adopted: mac(adopted), rebooted: mac(rebooted) };
      },
      rows: [
        {
          row: 'interfaces/guest_mac-generated',
          expected: ({ record }) => record.status?.networkInterfaces.eth0?.guestMac ?? 'one in the status',
          guest: ({ report }) => report.value('link', 'eth0', 'mac'),
        },
        {
          row: 'interfaces/guest_mac-stable-over-restart-of-the-daemon',
          expected: ({ report }) => report.value('link', 'eth0', 'mac'),
          guest: ({ reports }) => reports[1]?.value('link', 'eth0', 'mac') ?? 'no second report',
          host: ({ notes }) => notes.adopted ?? '',
        },
        {
          row: 'interfaces/guest_mac-stable-over-reboot-of-the-guest',
          expected: ({ report }) => report.value('link', 'eth0', 'mac'),
          guest: ({ reports }) => {
            const [first, , third] = reports;
            const isAnother = third !== undefined && third.text('boot_id') !== first?.text('boot_id');
            return isAnother ? third.value('link', 'eth0', 'mac') : 'not rebooted';
          },
          host: ({ notes }) => notes.rebooted ?? '',
        },
        {
          row: 'interfaces/address-by-dhcp-stable-over-reboot-of-the-guest',
          expected: (seen) => addressOf(seen, 'eth0'),
          guest: ({ reports }) => reports[2]?.text('address', 'eth0').split(' ')[1]?.split('/')[0] ?? 'no third report',
          host: ({ record }) => record.status?.networkInterfaces.eth0?.addresses[0] ?? 'none',
        },
        {
          row: 'interfaces/reached-after-restart-of-the-daemon',
          expected: `${GATEWAY} ok`,
          guest: ({ reports }) => reports[1]?.text('ping') ?? 'no second report',
        },
      ],
    },
    {
      name: 'interfaces',
      guests: (images) => ({
        three: reporting(images, {
          kernel: { image: images.anyKernel, cmdline: `quiet report.ping=${GATEWAY}` },
          interfaces: [
            tap('eth0', { guestMac: MACS[0].toUpperCase() }),
            tap('eth1'),
            tap('eth2', { guestMac: MACS[1] }),
          ],
        }),
      }),
      rows: [
        {
          row: 'interfaces/tap',
          expected: 'tun tap, on a bridge',
          guest: ({ report }) =>
            judged(report.value('link', 'eth0', 'state') === 'up', `eth0 ${report.value('link', 'eth0', 'state')}`),
          host: (seen) => {
            const { linkinfo, master } = link(seen, 'eth0') ?? {};
            return `${linkinfo?.info_kind} ${linkinfo?.info_data?.type}, ${master ? 'on a bridge' : 'on no bridge'}`;
          },
        },
        {
          row: 'interfaces/guest_mac-given',
          expected: MACS[0],
          guest: ({ report }) => report.value('link', 'eth0', 'mac'),
          host: ({ record }) => record.status?.networkInterfaces.eth0?.guestMac ?? '',
        },
        {
          row: 'interfaces/three',
          expected: ({ record }) =>
            ['eth0', 'eth1', 'eth2']
              .map((name) => `${name} ${record.status?.networkInterfaces[name]?.guestMac}`)
              .join(', '),
          guest: ({ report }) =>
            report
              .all('link')
              .map(({ name }) => `${name} ${report.value('link', name, 'mac')}`)
              .join(', '),
        },
        {
          row: 'interfaces/address-by-dhcp',
          expected: ({ record }) =>
            ['eth0', 'eth1', 'eth2'].map((name) => record.status?.networkInterfaces[name]?.addresses[0]).join(' '),
          guest: (seen) => ['eth0', 'eth1', 'eth2'].map((name) => addressOf(seen, name)).join(' '),
        },
        {
          row: 'interfaces/gateway-by-dhcp',
          expected: `default via ${GATEWAY} dev eth0`,
          guest: ({ report }) => {
            const routes = report.all('route', 'default').map(({ text }) => text);
            return (
              routes
                .find((route) => route.includes('dev eth0'))
                ?.split(' ')
                .slice(0, 5)
                .join(' ') ?? 'no default'
            );
          },
        },
        {
          row: 'interfaces/dns-by-dhcp',
          expected: GATEWAY,
          // Each of the three interfaces may have written it.
          guest: ({ report }) => [...new Set(report.all('dns').map(({ text }) => text))].join(' '),
        },
        {
          row: 'interfaces/reaches-the-host',
          expected: `${GATEWAY} ok`,
          guest: ({ report }) => report.text('ping'),
        },
      ],
    },
    {
      name: 'published',
      // With one interface: of several on one network a guest answers by any, and with another's address it is not let out.
      guests: (images) => ({
        one: reporting(images, {
          kernel: { image: images.anyKernel, cmdline: 'quiet report.serve=8080,hello' },
          interfaces: [tap('eth0', { publishedPorts: [{ hostPort: 18_080, guestPort: 8_080 }] })],
        }),
      }),
      next: async ({ fetch }) => ({ published: await fetch('http://127.0.0.1:18080/') }),
      rows: [
        {
          row: 'interfaces/published_ports',
          expected: 'hello',
          guest: ({ report }) => report.text('serve').split(',')[1] ?? report.text('serve'),
          host: ({ notes }) => notes.published ?? '',
        },
      ],
    },
    {
      name: 'macvtap',
      guests: (images) => ({
        lan: reporting(images, {
          interfaces: [macvtap('eth0', { allowMetadataReq: true, guestMac: '02:00:5e:00:00:0c' }), macvtap('eth1')],
          metadata: { color: btoa('green') },
        }),
        fixed: reporting(images, { interfaces: [macvtap('eth0', { address: '192.0.2.5/24' })] }),
      }),
      next: async ({ ask }) => {
        const asked = ['eth0', 'eth1'].map((nic) => `http=${nic},${nic},GET,/latest/color`);
        await ask('lan', `ping=${PEER},eth0`, ...asked);
        await ask('fixed', `ping=${PEER}`);
        return {};
      },
      rows: [
        {
          row: 'interfaces/macvtap',
          expected: `macvtap bridge on ${PARENT}, 02:00:5e:00:00:0c`,
          guest: ({ report }) => {
            const mac = report.value('link', 'eth0', 'mac');
            return judged(mac === '02:00:5e:00:00:0c', mac);
          },
          host: (seen) => {
            const { linkinfo, link: parent, address } = link(seen, 'eth0') ?? {};
            return `${linkinfo?.info_kind} ${linkinfo?.info_data?.mode} on ${parent}, ${address}`;
          },
        },
        {
          row: 'interfaces/macvtap-reaches-a-peer-on-the-parents-network',
          expected: `${PEER},eth0 ok`,
          guest: ({ reports }) => reports[1]?.text('ping') ?? 'no second report',
        },
        {
          row: 'interfaces/macvtap-address-by-dhcp-of-the-parents-network',
          expected: '192.0.2.100 to 192.0.2.150',
          guest: ({ reports }) => {
            const text = reports[1]?.text('address', 'eth0').split(' ')[1] ?? 'none';
            return judged(/^192\.0\.2\.1[0-5]\d\/24$/.test(text), text);
          },
        },
        {
          row: 'interfaces/macvtap-address-static',
          expected: '192.0.2.5/24, reaches',
          guest: ({ guests }) => {
            const report = guests.fixed?.reports[1];
            const reaches = report?.text('ping') === `${PEER} ok` ? 'reaches' : 'reaches not';
            return `${report?.text('address', 'eth0').split(' ')[1]}, ${reaches}`;
          },
          host: ({ guests }) => {
            const [told] = guests.fixed?.record.status?.networkInterfaces.eth0?.addresses ?? [];
            return judged(told === '192.0.2.5', told ?? 'none');
          },
        },
        {
          row: 'metadata/allow_metadata_req-on-a-macvtap',
          expected: '200 green, by no NIC of its own: eth0 eth1',
          guest: ({ reports }) => {
            const status = reports[1]?.value('http', 'eth0', 'status');
            const body = reports[1]?.value('http', 'eth0', 'body');
            const nics = reports[1]?.all('link').map(({ name }) => name);
            return `${status} ${body}, by no NIC of its own: ${nics?.join(' ')}`;
          },
        },
        {
          row: 'metadata/allow_metadata_req-not-on-the-other-macvtap',
          expected: 'none',
          guest: ({ reports }) => reports[1]?.value('http', 'eth1', 'status') ?? 'no second report',
        },
      ],
    },
    {
      name: 'static',
      guests: (images) => ({
        mixed: reporting(images, {
          kernel: {
            image: images.anyKernel,
            cmdline: `quiet report.ping=${GATEWAY},fixed report.ping=${GATEWAY},eth1 report.dhcp=fixed`,
          },
          interfaces: [
            tap('fixed', { address: '10.77.0.201' }),
            tap('eth1', { address: '10.77.0.202/24' }),
            tap('asks'),
          ],
        }),
      }),
      rows: [
        {
          row: 'interfaces/address-static',
          expected: '10.77.0.201/24',
          guest: ({ report }) => report.text('address', 'fixed').split(' ')[1] ?? 'none',
          host: ({ record }) => {
            const [told] = record.status?.networkInterfaces.fixed?.addresses ?? [];
            return judged(told === '10.77.0.201', told ?? 'none');
          },
        },
        {
          row: 'interfaces/address-static-with-a-prefix',
          expected: '10.77.0.202/24',
          guest: ({ report }) => report.text('address', 'eth1').split(' ')[1] ?? 'none',
        },
        {
          row: 'interfaces/address-static-reaches-the-host',
          expected: `${GATEWAY},fixed ok, ${GATEWAY},eth1 ok`,
          guest: ({ report }) =>
            report
              .all('ping')
              .map(({ text }) => text)
              .join(', '),
        },
        {
          row: 'interfaces/address-static-gateway',
          expected: `default via ${GATEWAY} dev fixed`,
          guest: ({ report }) =>
            report
              .all('route', 'default')
              .find(({ text }) => text.includes('dev fixed'))
              ?.text.split(' ')
              .slice(0, 5)
              .join(' ') ?? 'no default',
        },
        {
          row: 'interfaces/address-static-dns',
          expected: GATEWAY,
          guest: ({ report }) => [...new Set(report.all('dns').map(({ text }) => text))].join(' '),
        },
        {
          row: 'interfaces/address-static-given-by-dhcp-all-the-same',
          expected: '10.77.0.201',
          guest: ({ report }) => report.text('lease', 'fixed').split(' ')[1] ?? 'none',
        },
        {
          row: 'interfaces/one-of-each',
          expected: ({ record }) => record.status?.networkInterfaces.asks?.addresses[0] ?? 'an address in the status',
          guest: (seen) => addressOf(seen, 'asks'),
        },
      ],
    },
  ],
  refused: [
    ...(
      [
        ['host_port-none', { hostPort: 0, guestPort: 80 }, 'host_port', '0 is no port'],
        ['guest_port-none', { hostPort: 80, guestPort: 65_536 }, 'guest_port', '65536 is no port'],
        ['protocol-unknown', { hostPort: 80, guestPort: 80, protocol: 'sctp' }, 'protocol', 'must be tcp or udp'],
        [
          'host_ip-of-no-host',
          { hostPort: 80, guestPort: 80, hostIp: '192.0.2.1' },
          'host_ip',
          'is no address of this host',
        ],
      ] as const
    ).map(([name, port, field, words]) => ({
      row: `interfaces/published_ports-${name}`,
      spec: (images: Images) => reporting(images, { interfaces: [tap('eth0', { publishedPorts: [port] })] }),
      field: `interfaces[0].published_ports[0].${field}`,
      words,
    })),
    ...(
      [
        ['outside-the-network', '10.78.0.5', 'is outside the network'],
        ['of-the-gateway', GATEWAY, "is the gateway's own"],
        ['with-another-prefix', '10.77.0.5/16', 'is not the prefix of the network'],
        ['ipv6', 'fd00::5', 'IPv6 is not built yet'],
        ['that-is-none', 'nonsense', 'is no IPv4 address'],
      ] as const
    ).map(([name, address, words]) => ({
      row: `interfaces/address-${name}`,
      spec: (images: Images) => reporting(images, { interfaces: [tap('eth0', { address })] }),
      field: 'interfaces[0].address',
      words,
    })),
    {
      row: 'interfaces/macvtap-without-a-parent',
      withoutParent: true,
      spec: (images) => reporting(images, { interfaces: [macvtap('eth0')] }),
      field: 'interfaces[0].type',
      words: 'set type: TAP, or start flintlockd with --parent-iface',
    },
    {
      row: 'interfaces/macvtap-address-without-a-prefix',
      spec: (images) => reporting(images, { interfaces: [macvtap('eth0', { address: '192.0.2.6' })] }),
      field: 'interfaces[0].address',
      words: "needs its prefix on the parent's network",
    },
    {
      row: 'interfaces/macvtap-published_ports',
      spec: (images) =>
        reporting(images, { interfaces: [macvtap('eth0', { publishedPorts: [{ hostPort: 80, guestPort: 80 }] })] }),
      field: 'interfaces[0].published_ports[0]',
      words: 'ports are published on the managed network only',
    },
    {
      row: 'interfaces/macvtap-address-of-another-vm',
      beside: (images) => reporting(images, { interfaces: [macvtap('eth0', { address: '192.0.2.7/24' })] }),
      spec: (images) => reporting(images, { interfaces: [macvtap('eth0', { address: '192.0.2.7/24' })] }),
      field: 'interfaces[0].address',
      words: 'is taken by microVM ',
    },
    {
      row: 'interfaces/address-of-another-vm',
      beside: (images) => reporting(images, { interfaces: [tap('eth0', { address: '10.77.0.210' })] }),
      spec: (images) => reporting(images, { interfaces: [tap('eth0', { address: '10.77.0.210' })] }),
      field: 'interfaces[0].address',
      words: 'is taken by microVM ',
    },
    {
      row: 'interfaces/guest_mac-of-another-vm',
      beside: (images) => reporting(images, { interfaces: [tap('eth0', { guestMac: '02:00:5e:00:02:01' })] }),
      spec: (images) => reporting(images, { interfaces: [tap('eth0', { guestMac: '02:00:5E:00:02:01' })] }),
      field: 'interfaces[0].guest_mac',
      words: 'is taken by microVM ',
    },
    {
      row: 'interfaces/guest_mac-of-a-group',
      spec: (images) => reporting(images, { interfaces: [tap('eth0', { guestMac: '01:00:5e:00:00:01' })] }),
      field: 'interfaces[0].guest_mac',
      words: 'multicast',
    },
    {
      row: 'interfaces/guest_mac-twice',
      spec: (images) =>
        reporting(images, { interfaces: ['eth0', 'eth1'].map((name) => tap(name, { guestMac: MACS[0] })) }),
      field: 'interfaces[1].guest_mac',
      words: 'used twice',
    },
    {
      row: 'interfaces/guest_device_name-too-long',
      spec: (images) => reporting(images, { interfaces: [tap('a-name-of-16-bytes')] }),
      field: 'interfaces[0].guest_device_name',
      words: '1 to 15',
    },
    {
      row: 'interfaces/guest_device_name-twice',
      spec: (images) => reporting(images, { interfaces: [tap('eth0'), tap('eth0')] }),
      field: 'interfaces[1].guest_device_name',
      words: 'used twice',
    },
  ],
};
