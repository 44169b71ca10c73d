import { describe, expect, test } from 'vitest';
import { parseCidr } from './ipv4.ts';
import type { InterfaceSpec } from './spec.ts';
import { guestNics, parseStatic, wrongOn, wrongRouting } from './static-address.ts';

const network = parseCidr('10.77.0.0/24');
if (!network) throw new Error('no network');
const nic = (name: string, address?: string): InterfaceSpec => ({
  name,
  type: 'TAP',
  allowMetadata: false,
  publishedPorts: [],
  ...(address !== undefined && { address }),
});

test.each([
  ['10.77.0.5', { address: '10.77.0.5' }],
  ['10.77.0.5/24', { address: '10.77.0.5', prefix: 24 }],
])('%s is an address', (text, expected) => {
  expect(parseStatic(text)).toEqual(expected);
});

test.each(['10.77.0', '10.77.0.256', '10.77.0.5/33', '10.77.0.5/', '10.77.0.05', 'x', '10.77.0.5/0', ' 10.77.0.5'])(
  '%s is none, and is told how one is written',
  (text) => {
    expect(parseStatic(text)).toEqual({ wrong: expect.stringContaining('10.77.0.5/24') });
  },
);

test('IPv6 is refused by its name', () => {
  expect(parseStatic('fd00::1/64')).toEqual({ wrong: expect.stringContaining('IPv6 is not built yet') });
});

describe('on the managed network', () => {
  test.each([
    ['10.78.0.5', 'outside the network 10.77.0.0/24'],
    ['10.77.0.1', "the gateway's own"],
    ['10.77.0.255', 'the broadcast address'],
    ['10.77.0.0', 'itself'],
    ['10.77.0.5/16', 'not the prefix'],
  ])('%s cannot be had', (text, why) => {
    const parsed = parseStatic(text);
    if ('wrong' in parsed) throw new Error(parsed.wrong);
    expect(wrongOn(network, parsed)).toContain(why);
  });

  test('any other can', () => {
    expect(wrongOn(network, { address: '10.77.0.254', prefix: 24 })).toBeUndefined();
  });

  test('the guest is told prefix, gateway and DNS server; who has none asks by DHCP', () => {
    const allocation = { interfaces: { lan: { mac: '52:00:00:00:00:01' }, wan: { mac: '52:00:00:00:00:02' } } };
    expect(guestNics([nic('lan', '10.77.0.5'), nic('wan')], allocation, network)).toEqual([
      {
        name: 'lan',
        mac: '52:00:00:00:00:01',
        fixed: { address: '10.77.0.5/24', gateway: '10.77.0.1', dns: ['10.77.0.1'] },
      },
      { name: 'wan', mac: '52:00:00:00:00:02' },
    ]);
  });
});

test("on somebody else's bridge only the address is known", () => {
  const [told] = guestNics([nic('lan', '192.168.1.5/24')], { interfaces: {} }, undefined);
  expect(told?.fixed).toEqual({ address: '192.168.1.5/24', dns: [] });
});

test('a boot waits for interfaces that will have an address, or else for the first one', () => {
  const awaited = (nics: Parameters<typeof guestNics>[0], managed = true) =>
    guestNics(nics, { interfaces: {} }, managed ? network : undefined).flatMap(({ name, isOptional }) =>
      isOptional ? [] : [name],
    );
  const macvtap = { ...nic('out'), type: 'MACVTAP' } as const;
  const elsewhere = { ...nic('elsewhere'), bridge: 'br7' };
  expect(awaited([macvtap, nic('lan'), elsewhere, nic('other')])).toEqual(['lan', 'other']);
  expect(awaited([macvtap, elsewhere])).toEqual(['out']);
  expect(awaited([nic('lan'), nic('other')], false)).toEqual(['lan']);
  expect(awaited([macvtap, { ...elsewhere, address: '192.0.2.5/24' }])).toEqual(['elsewhere']);
});

describe('a router and DNS servers of its own', () => {
  const routed = {
    ...nic('lan', '10.77.0.5/24'),
    gateway: '10.77.0.9/24',
    nameservers: ['9.9.9.9', '1.1.1.1'],
  };
  const told = { address: '10.77.0.5/24', gateway: '10.77.0.9', dns: ['9.9.9.9', '1.1.1.1'] };

  test('are told to the guest on either network, the router without its prefix', () => {
    expect(guestNics([routed], { interfaces: {} }, network)[0]?.fixed).toEqual(told);
    expect(guestNics([routed], { interfaces: {} }, undefined)[0]?.fixed).toEqual(told);
  });

  test('who is plugged into another bridge has nothing of the managed network', () => {
    const [own] = guestNics([{ ...nic('lan', '192.168.1.5/24'), bridge: 'br7' }], { interfaces: {} }, network);
    expect(own?.fixed).toEqual({ address: '192.168.1.5/24', dns: [] });
  });

  test.each([
    [{ gateway: '10.77.1.1' }, 'gateway', 'is outside 10.77.0.0/24'],
    [{ gateway: '10.77.0.5/24' }, 'gateway', "the interface's own"],
    [{ gateway: 'x' }, 'gateway', 'is no IPv4 address'],
    [{ nameservers: ['9.9.9.9', 'dns.example'] }, 'nameservers[1]', 'is no IPv4 address'],
    [{ nameservers: ['fd00::1'] }, 'nameservers[0]', 'IPv6 is not built yet'],
    [{ nameservers: Array<string>(9).fill('9.9.9.9') }, 'nameservers', 'at most 8'],
  ])('%o is refused at %s', (change, field, why) => {
    expect(wrongRouting({ ...routed, ...change })).toEqual([[field, expect.stringContaining(why)]]);
  });

  test('need an address that they go with', () => {
    expect(wrongRouting({ nameservers: ['9.9.9.9'] })).toHaveLength(1);
    expect(wrongRouting({ address: '10.77.0.5', gateway: '10.77.0.1', nameservers: [] })).toEqual([]);
  });
});
