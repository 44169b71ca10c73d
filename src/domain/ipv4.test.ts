import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  broadcastOf,
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  gatewayOf,
  isForGuests,
  netmaskOf,
  nextAddress,
  overlap,
  parseAddress,
  parseBlock,
  parseCidr,
} from './ipv4.ts';

const cidr = (text: string): Cidr => {
  const parsed = parseBlock(text);
  if (!parsed) throw new Error(`no CIDR: ${text}`);
  return parsed;
};

describe('parseAddress', () => {
  test('writes back what it reads', () => {
    fc.assert(fc.property(fc.nat({ max: 2 ** 32 - 1 }), (n) => parseAddress(formatAddress(n)) === n));
    expect(parseAddress('255.255.255.255')).toBe(2 ** 32 - 1);
  });
  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    '1.2.3.4 ',
    '1.2.3.4\n',
    '0x1.2.3.4',
    '::1',
    '1.2.3.-4',
  ])('refuses %j', (text) => expect(parseAddress(text)).toBeUndefined());
});

describe('parseCidr', () => {
  test('takes networks from /8 to /29', () => {
    expect(parseCidr('10.77.0.0/24')).toEqual({ network: 0x0a4d0000, prefix: 24 });
    expect(parseCidr('10.0.0.0/8')?.prefix).toBe(8);
    expect(parseCidr('192.168.250.248/29')?.prefix).toBe(29);
  });
  test.each([
    '10.77.0.1/24',
    '10.77.0.0',
    '10.77.0.0/30',
    '8.0.0.0/7',
    '10.77.0.0/33',
    '10.77.0.0/24;',
    '10.77.0.0/-1',
    '/24',
    'fd00::/8',
  ])('refuses %j', (text) => expect(parseCidr(text)).toBeUndefined());
  test('the default route and single addresses are blocks', () => {
    expect(parseBlock('0.0.0.0/0')).toEqual({ network: 0, prefix: 0 });
    expect(parseBlock('10.0.0.1')).toEqual({ network: 0x0a000001, prefix: 32 });
  });
});

test('names the addresses of a network', () => {
  const net = cidr('10.77.0.0/24');
  expect([gatewayOf(net), broadcastOf(net), netmaskOf(net), formatCidr(net)]).toEqual([
    '10.77.0.1',
    '10.77.0.255',
    '255.255.255.0',
    '10.77.0.0/24',
  ]);
  expect(netmaskOf(cidr('128.0.0.0/8'))).toBe('255.0.0.0');
});

test('knows what lies in it', () => {
  const net = cidr('200.77.0.0/24');
  expect(contains(net, '200.77.0.255')).toBe(true);
  expect(contains(net, '200.77.1.0')).toBe(false);
  expect(contains(net, 'nonsense')).toBe(false);
  expect(isForGuests(net, '200.77.0.2')).toBe(true);
  for (const own of ['200.77.0.0', '200.77.0.1', '200.77.0.255', '10.0.0.2']) expect(isForGuests(net, own)).toBe(false);
});

test('sees overlaps of either order', () => {
  expect(overlap(cidr('10.0.0.0/8'), cidr('10.77.0.0/24'))).toBe(true);
  expect(overlap(cidr('10.77.0.0/24'), cidr('10.0.0.0/8'))).toBe(true);
  expect(overlap(cidr('10.77.0.0/24'), cidr('10.78.0.0/24'))).toBe(false);
  expect(overlap(cidr('0.0.0.0/0'), cidr('255.255.255.255'))).toBe(true);
});

describe('nextAddress', () => {
  const small = cidr('10.0.0.0/29');
  test('goes round, and an address given back rests', () => {
    const seen: (string | undefined)[] = [];
    for (let i = 0; i < 7; i++) seen.push(nextAddress(small, new Set(), seen.at(-1)));
    expect(seen.map((a) => a?.slice(-1))).toEqual(['2', '3', '4', '5', '6', '2', '3']);
  });
  test('finds the one that is free, and says when none is', () => {
    const taken = new Set(['10.0.0.2', '10.0.0.3', '10.0.0.5', '10.0.0.6']);
    expect(nextAddress(small, taken, '10.0.0.4')).toBe('10.0.0.4');
    expect(nextAddress(small, taken, undefined)).toBe('10.0.0.4');
    expect(nextAddress(small, new Set([...taken, '10.0.0.4']), '10.0.0.4')).toBeUndefined();
  });
  test('a last address of another network, or no address, begins anew', () => {
    for (const last of ['10.77.0.9', '10.0.0.1', '10.0.0.7', 'x'])
      expect(nextAddress(small, new Set(), last)).toBe('10.0.0.2');
  });
  test('gives only free addresses for guests, whatever is taken', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 29 }),
        fc.nat({ max: 2 ** 32 - 1 }),
        fc.array(fc.nat({ max: 300 }), { maxLength: 40 }),
        fc.nat({ max: 300 }),
        (prefix, base, offsets, lastOffset) => {
          const net = { network: base - (base % 2 ** (32 - prefix)), prefix };
          const taken = new Set(offsets.map((o) => formatAddress(net.network + o)));
          const given = nextAddress(net, taken, formatAddress(net.network + lastOffset));
          if (given === undefined) return taken.size >= 2 ** (32 - prefix) - 3;
          return isForGuests(net, given) && !taken.has(given);
        },
      ),
    );
  });
});
