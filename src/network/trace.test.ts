import { expect, test } from 'vitest';
import { parseLegacy, parseTrace } from './trace.ts';

test('a trace tells who refused which packet: a rule, a policy, a reject', () => {
  const { refusals, seen } = parseTrace([
    'trace id 8be03c86 bridge x_probe pre packet: iif "flpr" ether saddr ea:e3:06:32:5d:4f ip saddr 10.9.0.2 udp dport 67 ',
    'trace id 8be03c86 bridge x_probe pre rule iifname "flpr" meta nftrace set 1 (verdict continue)',
    'trace id 8be03c86 bridge x_probe pre policy accept ',
    'trace id 87576550 ip filter INPUT packet: iif "br0" ip saddr 10.9.0.2 udp dport 67 udp length 11 ',
    'trace id 87576550 ip filter INPUT policy drop ',
    'trace id 2e862e5a ip filter INPUT packet: iif "br0" tcp dport 80 tcp flags == syn ',
    'trace id 2e862e5a ip filter INPUT rule tcp dport 80 counter packets 7 bytes 420 reject with tcp reset (verdict drop)',
    'something else',
  ]);
  expect(refusals).toEqual([
    expect.objectContaining({ family: 'ip', table: 'filter', chain: 'INPUT', rule: undefined }),
    expect.objectContaining({
      rule: 'tcp dport 80 reject with tcp reset',
      packet: expect.stringContaining('dport 80'),
    }),
  ]);
  expect(seen.map(({ chain }) => chain)).toEqual(['bridge x_probe pre', 'ip filter INPUT', 'ip filter INPUT']);
});

test('of the old iptables the counters tell, rules and policies', () => {
  const saved = (policy: number, rule: number) =>
    `*filter\n:INPUT ACCEPT [9:1]\n:FORWARD DROP [${policy}:60]\n[${rule}:1] -A INPUT -i br0 -p udp -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable\n[5:5] -A INPUT -j ACCEPT\nCOMMIT\n`;
  expect(parseLegacy(saved(1, 1), saved(1, 1))).toEqual([]);
  expect(parseLegacy(saved(1, 1), saved(2, 1))).toEqual([{ table: 'filter', chain: 'FORWARD', rule: undefined }]);
  expect(parseLegacy(saved(1, 1), saved(1, 4))).toMatchObject([
    { chain: 'INPUT', rule: expect.stringContaining('REJECT') },
  ]);
  expect(parseLegacy('', saved(3, 0))).toEqual([{ table: 'filter', chain: 'FORWARD', rule: undefined }]);
});
