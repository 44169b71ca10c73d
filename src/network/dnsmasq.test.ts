import { describe, expect, test } from 'vitest';
import { dnsmasqArgv, hostLine, parseLeases, readStartLog, servesDirectory } from './dnsmasq.ts';

const dhcp = { directory: '/run/x/network/dhcp', bridge: 'flabcdbr', cidr: '10.77.0.0/16', gateway: '10.77.0.1' };

describe('the command line', () => {
  test('serves reserved addresses on one bridge and is the proof of whose it is', () => {
    const argv = dnsmasqArgv({ ...dhcp, cidr: '10.76.0.0/14' }, 7);
    expect(argv).toContain('--dhcp-range=10.76.0.0,static,255.252.0.0,1h');
    expect(argv).toContain('--interface=flabcdbr');
    expect(servesDirectory(dhcp.directory)(['/usr/sbin/dnsmasq', ...argv.slice(1)])).toBe(true);
    expect(servesDirectory('/run/x/network')(argv)).toBe(false);
    expect(servesDirectory(dhcp.directory)(['cat', ...argv.slice(1)])).toBe(false);
    expect(servesDirectory(dhcp.directory)([])).toBe(false);
  });
  test('differs with the bridge that it is bound to', () => {
    expect(dnsmasqArgv({ ...dhcp, cidr: '10.77.0.0/24' }, 7)).not.toEqual(
      dnsmasqArgv({ ...dhcp, cidr: '10.77.0.0/24' }, 8),
    );
  });
  test.each([
    { ...dhcp, cidr: '10.77.1.0/16' },
    { ...dhcp, cidr: '10.77.0.0/24\nx' },
    { ...dhcp, cidr: '10.77.0.0/24', bridge: 'a b' },
    { ...dhcp, cidr: '10.77.0.0/24', gateway: '' },
  ])('refuses what is no network, bridge or address: %j', (wrong) => {
    expect(() => dnsmasqArgv(wrong, 7)).toThrow(expect.objectContaining({ kind: 'invalid', reason: 'NetworkFailed' }));
  });
});

describe('the lease file', () => {
  test('is read line by line', () => {
    const text =
      '1795568605 52:54:00:00:00:0a 10.77.0.10 vma 01:52:54:00:00:00:0a\n' +
      '0 52:54:00:00:00:0b 10.77.0.11 * *\n' +
      'duid 00:01:00:01\n';
    expect(parseLeases(text)).toEqual([
      {
        expiresAt: 1_795_568_605_000,
        mac: '52:54:00:00:00:0a',
        address: '10.77.0.10',
        clientId: '01:52:54:00:00:00:0a',
      },
      { expiresAt: 0, mac: '52:54:00:00:00:0b', address: '10.77.0.11', clientId: '*' },
    ]);
  });
  test.each([
    '',
    '1795568605 52:54:00:00:00:0a 10.77.0.1',
    '1795568605 52:54:00:00:00:0a 10.77.0.10 vma 01:',
    '17955 52:54:00:00:00:0a 10.77.0.10 vma -x',
  ])('what is cut or strange is left out: %j', (line) => expect(parseLeases(line)).toEqual([]));
});

describe('a reservation', () => {
  const at = { mac: '52:54:00:00:00:0a', address: '10.77.0.10' };
  test.each(['vm-1', 'VM-1'])('has the name %j', (hostname) =>
    expect(hostLine({ ...at, hostname })).toBe('52:54:00:00:00:0a,10.77.0.10,vm-1\n'),
  );
  test.each([
    '',
    'my.vm',
    '-x',
    'a b',
    'a,b',
    'a\nb',
    '1h',
    '12',
    '30m',
    'ignore',
    'infinite',
    'set:x',
    'x'.repeat(64),
  ])('has no name rather than %j', (hostname) =>
    expect(hostLine({ ...at, hostname })).toBe('52:54:00:00:00:0a,10.77.0.10\n'),
  );
});

test('the log says whether it serves, or why not', () => {
  expect(readStartLog('dnsmasq[7]: started, version 2.90 cachesize 150\n').serves).toBe(true);
  expect(readStartLog('').serves).toBe(false);
  const failed =
    '\ndnsmasq: failed to create listening socket for 10.77.0.1: Address already in use\ndnsmasq: FAILED to start up\n';
  expect(readStartLog(failed)).toEqual({
    serves: false,
    words: 'failed to create listening socket for 10.77.0.1: Address already in use',
  });
  expect(readStartLog('what?\n').words).toBe('what?');
});
