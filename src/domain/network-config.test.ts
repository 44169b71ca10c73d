import { expect, test } from 'vitest';
import { networkConfig } from './network-config.ts';

const mac = '02:00:00:00:00:01';

test('an interface asks by DHCP', () => {
  expect(networkConfig([{ name: 'eth0', mac }])).toBe(`version: 2
ethernets:
  eth0:
    match:
      macaddress: "02:00:00:00:00:01"
    set-name: eth0
    dhcp4: true
`);
});

test('or has an address, a gateway and name servers', () => {
  const fixed = { address: '10.77.0.5/24', gateway: '10.77.0.1', dns: ['10.77.0.1', '1.1.1.1'] };
  const bare = { address: '10.0.0.1/8', dns: [] };
  expect(
    networkConfig([
      { name: 'lan', mac, fixed },
      { name: 'two', mac, fixed: bare },
    ]),
  ).toBe(`version: 2
ethernets:
  lan:
    match:
      macaddress: "02:00:00:00:00:01"
    set-name: lan
    dhcp4: false
    addresses:
      - "10.77.0.5/24"
    routes:
      - to: "0.0.0.0/0"
        via: "10.77.0.1"
    nameservers:
      addresses:
        - "10.77.0.1"
        - "1.1.1.1"
  two:
    match:
      macaddress: "02:00:00:00:00:01"
    set-name: two
    dhcp4: false
    addresses:
      - "10.0.0.1/8"
`);
});

test('a boot does not wait for one that is optional', () => {
  expect(networkConfig([{ name: 'eth0', mac, isOptional: true }])).toContain('    dhcp4: true\n    optional: true\n');
});

test.each(['on', 'NO', 'y', 'null', 'True', 'inf'])('the name %s stays a text', (name) => {
  expect(networkConfig([{ name, mac }])).toContain(`\n  "${name}":\n`);
  expect(networkConfig([{ name, mac }])).toContain(`set-name: "${name}"`);
});

test('no interface is a network too', () => expect(networkConfig([])).toBe('version: 2\nethernets: {}\n'));
