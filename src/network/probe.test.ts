import { expect, test } from 'vitest';
import type { Files, Follow, Processes, Run } from '../ports/host.ts';
import type { ProbeIntent } from '../ports/network-probe.ts';
import { createNetwork } from './network.ts';

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const address = '10.77.0.254';
const intent: ProbeIntent = {
  ...{ bridge: 'flabcdbr', device: 'flabcdprobe', table: 't_probe', gateway: '10.77.0.1', cidr: '10.77.0.0/24' },
  lease: { directory: '/r', file: 'probe', bridge: 'flabcdbr', mac: '52:54:00:00:00:fe', address, hostname: '' },
  guard: { table: 't', device: 'flabcdprobe', mac: '52:54:00:00:00:fe', address },
  metadata: { table: 't_metadata', devices: ['flabcdprobe'], address: '10.77.0.1', port: 19_998 },
  publish: { table: 't', address, ports: [{ hostPort: 19_997, guestPort: 80, protocol: 'tcp', hostIp: '10.77.0.1' }] },
};

test.each([1, 10])('a host that is said to be %i times as slow is given the time', async (patience) => {
  const started: string[][] = [];
  const run: Run = async (_argv, { input = '' }) =>
    input.includes(' show ')
      ? JSON.stringify([{ ifname: 'flabcdbr', mtu: 1_500, linkinfo: { info_kind: 'bridge' } }])
      : '';
  const follow: Follow = (argv) => {
    started.push([...argv]);
    return { pid: 1, ended: Promise.resolve('it ended') };
  };
  const hands = { run, follow, files: {} as Files, processes: {} as Processes, clock: {} as never, log };
  const network = createNetwork({ ...hands, patience });
  await expect(network.tryWays(intent, new AbortController().signal)).rejects.toThrow('it ended');
  expect(JSON.parse(started[0]?.at(-1) ?? '{}')).toMatchObject({ patienceMs: 4_000 * patience });
});
