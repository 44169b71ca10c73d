import { expect, test } from 'vitest';
import { parseListeners } from './listeners.ts';

/** As `ss -Hlntup` of iproute2 6.1 prints it. */
const PRINTED = `udp   UNCONN 0      0            127.0.0.54:53         0.0.0.0:*    users:(("systemd-resolve",pid=321,fd=16))
udp   UNCONN 0      0      0.0.0.0%flabcdbr:67         0.0.0.0:*    users:(("dnsmasq",pid=7,fd=4))
tcp   LISTEN 0      511             0.0.0.0:80         0.0.0.0:*    users:(("nginx",pid=9,fd=6),("nginx",pid=8,fd=6))
tcp   LISTEN 0      4096                  *:9090             *:*    users:(("node",pid=5,fd=21))
tcp   LISTEN 0      128                [::]:22            [::]:*
tcp   LISTEN 0      128  [::ffff:127.0.0.1]:8080            *:*
what is this
`;

test('sockets that wait on IPv4 are read, of one device, of both families, and those that ss names no program of', () => {
  expect(parseListeners(PRINTED)).toEqual([
    { protocol: 'udp', address: '127.0.0.54', port: 53, program: 'systemd-resolve (pid 321)' },
    { protocol: 'udp', address: '', port: 67, program: 'dnsmasq (pid 7)' },
    { protocol: 'tcp', address: '', port: 80, program: 'nginx (pid 9)' },
    { protocol: 'tcp', address: '', port: 9090, program: 'node (pid 5)' },
    { protocol: 'tcp', address: '127.0.0.1', port: 8080, program: '' },
  ]);
  expect(parseListeners('')).toEqual([]);
});
