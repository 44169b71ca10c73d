import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { run } from '../../../src/host/run.ts';
import { demoSpec, type SpecInit, startHost, type TestHost } from '../../support/daemon.ts';
import type { Netns } from '../../support/netns.ts';
import { plugPeer } from '../../support/peer.ts';

const limits = { signal: AbortSignal.timeout(120_000), timeoutMs: 90_000 };
const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** All at once; each that is let in holds half a request. @returns how many are in at the end */
const FLOOD = `
const { connect } = require('node:net');
const held = new Set();
for (let i = 0; i < 10_000; i++) {
  const socket = connect(80, '169.254.169.254', () => { held.add(socket); socket.write('GET / HTTP/1.1\\r\\nHos'); });
  socket.on('error', () => {});
  socket.on('close', () => held.delete(socket));
}
setTimeout(() => { process.stdout.write('held ' + held.size); process.exit(); }, 6000);
`;

const ASK = `
const begin = performance.now();
require('node:http').get('http://169.254.169.254/latest/user-data', { agent: false }, (answer) => {
  let text = '';
  answer.on('data', (data) => { text += data; });
  answer.on('end', () => process.stdout.write(text + ' ' + Math.round(performance.now() - begin) + '\\n'));
}).on('error', (error) => process.stdout.write(String(error) + '\\n'));
`;

/** A machine where a guest's tap would be, so that it is as quick as a guest with KVM: plugged in, guarded and led as that guest is. */
async function inPlaceOf(host: TestHost, n: number, port: number): Promise<Netns> {
  const [bridge] = JSON.parse(await host.tool('ip', '-j', 'link', 'show', 'type', 'bridge')) as { ifname: string }[];
  const prefix = bridge?.ifname.slice(0, -2) ?? '';
  const [device, mac, address] = [`${prefix}peer${n}`, `02:00:00:00:01:0${n}`, `10.77.0.${200 + n}`];
  const table = `flintlock_${prefix.slice(2)}`;
  for (const element of [
    ['add', 'element', 'bridge', table, 'ports', `{ "${device}" }`],
    ['add', 'element', 'bridge', table, 'macs', `{ "${device}" . ${mac} }`],
    ['add', 'element', 'bridge', table, 'clients', `{ "${device}" . ${Number.parseInt(mac.replaceAll(':', ''), 16)} }`],
    ['add', 'element', 'bridge', table, 'addresses', `{ "${device}" . ${address} }`],
    ['add', 'element', 'bridge', `${table}_metadata`, 'marks', `{ "${device}" : ${port} }`],
  ])
    await host.tool('nft', ...element);
  // In the ledger too: what stands in our tables for nobody is taken away within seconds.
  using ledger = new DatabaseSync(`${host.state}/flintlock.db`, { timeout: 10_000 });
  const write = ledger.prepare(
    "INSERT INTO ledger (owner, kind, key, intent, made, result) VALUES ('host-of-test', ?, ?, ?, 1, 'null')",
  );
  write.run('guard', `peer${n}`, JSON.stringify({ table, device, mac, address }));
  write.run(
    'metadata',
    `peer${n}`,
    JSON.stringify({ table: `${table}_metadata`, devices: [device], address: '10.77.0.1', port }),
  );
  const inside: Pick<Netns, 'run'> = { run: (argv, more) => run(['nsenter', ...host.inside, ...argv], more) };
  const peer = await plugPeer(inside as Netns, { bridge: bridge?.ifname ?? '', port: device, mac });
  await peer.run(['ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0'], limits);
  await peer.run(['ip', 'route', 'add', 'default', 'via', '10.77.0.1'], limits);
  return peer;
}

test('10,000 connections of one guest, each with half a request, disturb no other and no daemon', async (t) => {
  const host = await startHost(t);
  const create = (id: string, secret: string): Promise<unknown> =>
    host.create(
      demoSpec(id, {
        metadata: { 'user-data': base64(secret) },
        interfaces: [{ guestDeviceName: 'eth0', type: 1, allowMetadataReq: true }],
      } as Partial<SpecInit>),
    );
  await create('hostile', 'of-hostile');
  await create('other', 'of-other');
  for (const { spec } of (await host.vms.listMicroVMs({})).microvm) await host.until(spec?.uid ?? '', 'CREATED');
  await using hostile = await inPlaceOf(host, 1, 20_000);
  await using other = await inPlaceOf(host, 2, 20_001);
  const ask = async (from: Netns): Promise<readonly [text: string, ms: number]> => {
    const [text = '', ms = ''] = (await from.run([process.execPath, '-e', ASK], limits)).split(' ');
    return [text, Number(ms)];
  };
  expect((await ask(hostile))[0]).toBe('of-hostile');
  expect((await ask(other))[0]).toBe('of-other');

  const flood = hostile.run([process.execPath, '-e', FLOOD], limits);
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const [text, ms] = await ask(other);
    expect(text).toBe('of-other');
    waits.push(ms);
    const begin = performance.now();
    await host.vms.listMicroVMs({});
    waits.push(performance.now() - begin);
  }
  // A SYN that is lost among the others would be sent again after a second.
  expect(Math.max(...waits)).toBeLessThan(900);
  expect(Number((await flood).slice('held '.length))).toBeLessThanOrEqual(16);
  expect((await ask(other))[0]).toBe('of-other');
  expect(host.log).not.toMatch(/error/);
});
