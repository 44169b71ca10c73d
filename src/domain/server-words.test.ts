import { expect, test } from 'vitest';
import { serversIn } from './resolv-conf.ts';
import { troublesIn } from './server-words.ts';

test.each([
  ['Maximum number of concurrent DNS queries reached (max: 150)', 'full'],
  ['Maximum number of concurrent DNS queries to 127.0.0.53 reached (max: 150)', 'full'],
  ['no servers found in /run/x/network/resolv.conf, will retry', 'no-resolvers'],
  ['failed to access /etc/resolv.conf: Permission denied', 'no-resolvers'],
  ['nameserver 192.0.2.53 refused to do a recursive query', 'resolver-refused'],
  ['ignoring nameserver 10.77.0.1 - local interface', 'resolver-refused'],
  ['not using configured address 10.77.0.9 because it is leased to 52:54:00:00:00:01', 'address-withheld'],
  ['disabling DHCP static address 10.77.0.9 for 10m', 'address-withheld'],
  ['no address range available for DHCP request via flabcdbr', 'not-served'],
  ['DHCP packet received on flabcdbr which has no address', 'not-served'],
  ['failed to write /run/x/leases: No space left on device (retry in 60 s)', 'leases-unwritten'],
  ['failed to send packet: Network is unreachable', 'not-sent'],
  ['bad dhcp-host at line 1 of /run/x/hosts/vm', 'other'],
  ['duplicate dhcp-host IP address 10.77.0.9 at line 1 of /run/x/hosts/vm', 'other'],
])('%j means %s', (words, kind) => {
  expect(troublesIn(`dnsmasq[7]: ${words}\n`)).toEqual([{ kind, words }]);
  expect(troublesIn(`dnsmasq-dhcp[7]: ${words}\n`)).toEqual([{ kind, words }]);
});

test('what it says while all is well is no trouble, nor what it did not say', () => {
  const well = [
    'started, version 2.90 cachesize 150',
    'compile time options: IPv6 GNU-getopt DBus',
    'DHCP, static leases only on 10.77.0.0, lease time 1h',
    'DHCP, sockets bound exclusively to interface flabcdbr',
    'reading /run/x/network/resolv.conf',
    'using nameserver 127.0.0.53#53',
    'using only locally-known addresses for flintlock.internal',
    'cleared cache',
    'inotify: /run/x/hosts/vm (new or modified)',
    'read /run/x/hosts/vm',
    'exiting on receipt of SIGTERM',
  ];
  expect(troublesIn(well.map((words) => `dnsmasq[7]: ${words}\n`).join(''))).toEqual([]);
  expect(troublesIn('Maximum number of concurrent DNS queries reached\n')).toEqual([]);
});

test('of a resolv.conf its servers are read', () => {
  const text = [
    '# made by a VPN',
    'search nameserver example',
    'nameserver 192.0.2.53',
    '  nameserver\t2001:db8::53  ; six',
    'nameserver fe80::1%eth0',
    'nameserver none.example',
    'nameserver',
    '#nameserver 192.0.2.54',
    'options edns0',
  ]
    .join('\r\n')
    .replaceAll('\r', '');
  expect(serversIn(text)).toEqual(['192.0.2.53', '2001:db8::53', 'fe80::1%eth0']);
});
