import { describe, expect, test, vi } from 'vitest';
import { Fault } from '../domain/fault.ts';
import type { Files, Processes, Run } from '../ports/host.ts';
import { parseLinks, parseRoutes } from './ip.ts';
import { bridgeMac } from './links.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const signal = new AbortController().signal;
const unused = <T extends object>(name: string): T =>
  new Proxy({} as T, {
    get: (_, key) => {
      throw new Error(`${name}.${String(key)} is not to be used`);
    },
  });
const networkOf = (run: Run, files = unused<Files>('files')) =>
  createNetwork({
    run,
    files,
    processes: unused<Processes>('processes'),
    clock: unused('clock'),
    log,
  });

const tap = { device: 'flabcdvvvvvv0', bridge: 'flabcdbr', alias: 'flintlock:abcd:uid=1' };
const shown = (alias: string, kind = 'tun') =>
  JSON.stringify([
    {},
    { ifindex: 9, ifname: tap.device, address: '02:00:00:00:00:09', ifalias: alias, linkinfo: { info_kind: kind } },
  ]);

describe('addTap', () => {
  test('makes, marks, joins and shows in one process, with the MTU of its bridge', async () => {
    const run = vi
      .fn<Run>()
      .mockResolvedValueOnce(JSON.stringify([{ ifname: tap.bridge, mtu: 9_000, linkinfo: { info_kind: 'bridge' } }]))
      .mockResolvedValue(shown(tap.alias));
    const files = { ...unused<Files>('files'), stat: vi.fn<Files['stat']>().mockResolvedValue(undefined) };
    expect(await networkOf(run, files).addTap(tap, signal)).toEqual({ index: 9, mac: '02:00:00:00:00:09' });
    expect(files.stat).toHaveBeenCalledExactlyOnceWith('/dev/tap9');
    expect(run.mock.calls.map(([argv, { input }]) => [argv, input]).slice(1)).toEqual([
      [
        ['ip', '-j', '-d', '-batch', '-'],
        'tuntap add dev flabcdvvvvvv0 mode tap\n' +
          'link set dev flabcdvvvvvv0 address fe:bf:59:5b:dc:08 # with the next\n' +
          'link set dev flabcdvvvvvv0 mtu 9000 alias flintlock:abcd:uid=1 addrgenmode none master flabcdbr up # with the next\n' +
          'link set dev flabcdvvvvvv0 type bridge_slave guard on # with the next\n' +
          'link show dev flabcdvvvvvv0\n',
      ],
    ]);
  });

  test.each([
    { ...tap, device: 'a b' },
    { ...tap, device: 'x\nlink delete dev eth0' },
    { ...tap, device: '-x' },
    { ...tap, bridge: '' },
    { ...tap, alias: 'x\ny' },
    { ...tap, alias: 'x'.repeat(256) },
  ])('passes no other words on: %j', async (hostile) => {
    const run = vi.fn<Run>();
    const network = networkOf(run);
    await expect(network.addTap(hostile, signal)).rejects.toMatchObject({ kind: 'invalid', reason: 'NetworkFailed' });
    expect(run).not.toHaveBeenCalled();
  });

  test('a tool that fails gives its words, what was tried, and the reason', async () => {
    const run = vi.fn<Run>().mockRejectedValue(new Fault('timeout', 'ip did not end in 10000 ms'));
    await expect(networkOf(run).addTap(tap, signal)).rejects.toMatchObject({
      kind: 'timeout',
      reason: 'NetworkFailed',
      terminal: false,
      message: 'Cannot add tap flabcdvvvvvv0 to bridge flabcdbr: ip did not end in 10000 ms',
    });
  });

  test("an abort is the signal's own reason, and nothing more is run", async () => {
    const abort = new AbortController();
    const run = vi.fn<Run>().mockImplementation(async () => {
      abort.abort(new Error('deleted'));
      throw abort.signal.reason;
    });
    await expect(networkOf(run).addTap(tap, abort.signal)).rejects.toThrow('deleted');
    expect(run).toHaveBeenCalledTimes(1);
  });
});

test.each([
  ['another alias', 'flintlock:abcd:uid=2', 'tun'],
  ['another kind', tap.alias, 'veth'],
])('removeTap leaves a device with %s', async (_, alias, kind) => {
  const run = vi.fn<Run>().mockResolvedValue(shown(alias, kind));
  await expect(networkOf(run).removeTap(tap, signal)).rejects.toThrow('is not ours');
  expect(run).toHaveBeenCalledTimes(1);
});

describe('what the audit proved ours', () => {
  test('as an interface is removed as one: a blank makes it no firewall table', async () => {
    const run = vi.fn<Run>().mockResolvedValue('');
    const refused = { kind: 'invalid', reason: 'NetworkFailed' };
    await expect(networkOf(run).removeInterface('inet flintlock_abcd', signal)).rejects.toMatchObject(refused);
    await expect(networkOf(run).removeTable('inet x;y', signal)).rejects.toMatchObject(refused);
    expect(run).not.toHaveBeenCalled();
  });

  test('is removed by its own tool', async () => {
    const run = vi.fn<Run>().mockResolvedValue('');
    await networkOf(run).removeInterface('flabcd0', signal);
    await networkOf(run).removeTable('inet flintlock_abcd', signal);
    expect(run.mock.calls.map(([argv, { input }]) => [argv.join(' '), input])).toEqual([
      ['ip -j -d -batch -', 'link delete dev flabcd0\n'],
      ['nft -f -', 'table inet flintlock_abcd\ndelete table inet flintlock_abcd\n\n'],
    ]);
  });
});

test('forwarding that is on is not set again', async () => {
  const run = vi.fn<Run>().mockResolvedValue('1\n');
  const network = networkOf(run);
  expect(await network.forwarding()).toBe(true);
  await network.setForwarding(true);
  expect(run.mock.calls.map(([argv]) => argv[0])).toEqual(['cat', 'cat']);
});

test('what ip prints is read, or said to be unreadable', () => {
  expect(parseLinks('[]')).toEqual([]);
  expect(parseLinks('[{},{"ifname":"lo","ifindex":1}]')).toEqual([
    { device: 'lo', index: 1, mac: '', alias: '', kind: '', master: '', addresses: [] },
  ]);
  expect(() => parseLinks('Oops')).toThrow('Cannot read what ip printed: "Oops"');
  expect(
    parseRoutes('[{"type":"unreachable","dst":"10.0.0.0/8"},{"dst":"default","gateway":"1.2.3.4","dev":"e0"}]'),
  ).toEqual([
    { destination: '10.0.0.0/8', device: '', text: 'unreachable 10.0.0.0/8' },
    { destination: 'default', device: 'e0', text: 'default via 1.2.3.4 dev e0' },
  ]);
});

test('a bridge has a MAC of its own, unicast and locally administered', () => {
  expect(bridgeMac('flabcdbr')).toMatch(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/);
  expect(bridgeMac('flabcdbr')).toBe(bridgeMac('flabcdbr'));
  expect(bridgeMac('flabcdbr')).not.toBe(bridgeMac('flabcebr'));
});
