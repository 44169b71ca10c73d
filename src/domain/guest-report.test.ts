import { expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/fake-services.ts';
import { type AskedOfGuest, askedOfGuest, reportIn, unheard } from './guest-report.ts';
import type { InterfaceSpec, VolumeSpec } from './spec.ts';

const nic = (name: string, address?: string) => ({
  name,
  mac: '02:00:00:00:00:01',
  ...(address !== undefined && { fixed: { address, dns: [] } }),
});
const mount = (path: string) => ({ path, device: 'vdb', isReadOnly: false });
const asked: AskedOfGuest = {
  nics: [nic('lan0', '10.77.0.9/32'), nic('eth1')],
  mounts: [mount('/data'), mount('/a b,c')],
  hasMetadata: false,
};
const SAID = 'flintlock-guest: configured nics=lan0:10.77.0.9/24,eth1:dhcp mounts=/a%20b%2Cc:ro,/data:rw\r\n';

test('a guest that applied all is believed', () => {
  expect(reportIn(`Linux\r\n/ # ${SAID}`, asked)).toEqual({
    status: 'True',
    reason: 'Configured',
    message: 'The guest has applied lan0, eth1, /data, /a b,c',
  });
});

test.each([
  ['an interface', SAID.replace('eth1:dhcp', 'eth1:failed'), 'eth1'],
  ['a mount, whose path is encoded', SAID.replace('%2Cc:ro', '%2Cc:failed'), '/a b,c'],
  ['another address than it was to have', SAID.replace('0.9/24', '0.99/24'), 'lan0'],
  ['several', SAID.replaceAll(/:(dhcp|rw)/g, ':failed'), 'eth1, /data'],
])('what failed is named: %s', (_, text, names) => {
  const message = `The guest could not apply ${names}: its console says why`;
  expect(reportIn(text, asked)).toEqual({ status: 'False', reason: 'ConfigurationFailed', message });
});

test.each([
  ['one is left out', SAID.replace(',eth1:dhcp', ''), 'eth1'],
  ['it is about nothing', 'flintlock-guest: configured nics=none mounts=none\n', 'lan0, eth1, /data, /a b,c'],
  ['a letter is there twice', SAID.replace('lan0', 'laan0'), 'lan0'],
  ['it is no such line', 'flintlock-guest: configured well\n', 'lan0, eth1, /data, /a b,c'],
  ['it is cut', `${SAID.slice(0, -12)}\n`, '/data'],
  ['it is far too long', SAID.replace('nics=', `nics=${'x'.repeat(5_000)}:dhcp,`), 'lan0, eth1, /data, /a b,c'],
])('a line that does not speak of all proves nothing: %s', (_, text, names) => {
  const message = `The guest said that it is configured, but nothing of ${names}`;
  expect(reportIn(text, asked)).toEqual({ status: 'Unknown', reason: 'NotReported', message });
});

test('the last word counts, and a boot that begins takes back what was said', () => {
  const failed = SAID.replace('eth1:dhcp', 'eth1:failed');
  expect(reportIn(failed + SAID, asked)?.status).toBe('True');
  expect(reportIn(SAID + failed, asked)?.status).toBe('False');
  for (const begun of ['flintlock-initrd: the root is /dev/vda, rw', '[    0.000000] Linux version 6.1.0'])
    expect(reportIn(`${SAID}${begun}\n`, asked)).toEqual(unheard(asked));
  expect(reportIn(`[    0.000000] Linux version 6.1.0\n${SAID}`, asked)?.status).toBe('True');
  expect(reportIn('login: \nflintlock-guest: up ip=none\n', asked)).toBeUndefined();
});

test('what is left to cloud-init is not known, and why where it never will', () => {
  const left = 'flintlock-guest: configuration left to cloud-init\r\n';
  expect(reportIn(left, { ...asked, hasMetadata: true })).toMatchObject({
    status: 'Unknown',
    message: 'The guest leaves lan0, eth1, /data, /a b,c to cloud-init, and that has not said so yet',
  });
  expect(reportIn(left, asked)?.message).toMatch(/it has no metadata.*: give the spec some/);
});

const vm = (interfaces: readonly InterfaceSpec[], volumes: readonly VolumeSpec[] = []) => {
  const sample = sampleRecord({});
  return { ...sample, spec: { ...sample.spec, interfaces, volumes } };
};
const tap = (name: string, address?: string): InterfaceSpec => ({
  ...{ name, type: 'TAP', allowMetadata: false, publishedPorts: [] },
  ...(address !== undefined && { address }),
});
const volume = (id: string, mountPoint: string, isRoot = false): VolumeSpec => ({
  ...{ id, isRoot, mountPoint, isReadOnly: false, image: 'i' },
});

test('of a spec that leaves the guest nothing to do nothing is waited for', () => {
  const nothing = askedOfGuest(vm([tap('eth0'), tap('eth1')], [volume('root', '/', true), volume('data', '')]));
  expect(unheard(nothing)).toMatchObject({ status: 'True', reason: 'NothingToConfigure' });
});

test.each([
  ['a name', vm([tap('lan0')]), 'lan0'],
  ['the kernel’s names in another order', vm([tap('eth1'), tap('eth0')]), 'eth1, eth0'],
  ['a static address', vm([tap('eth0', '10.77.0.9')]), 'eth0'],
  ['a mount', vm([tap('eth0')], [volume('root', '', true), volume('data', '/data')]), '/data'],
])('what only the guest can do is waited for: %s', (_, one, names) => {
  const message = `The guest has not said whether it applied ${names}`;
  expect(unheard(askedOfGuest(one))).toEqual({ status: 'Unknown', reason: 'NotReported', message });
});
