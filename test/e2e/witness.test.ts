import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { idleKernel } from '../faults/idle-kernel.ts';
import { poll, startHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };
const SECRET = Buffer.from('#cloud-config\n').toString('base64');

/** A microVM with something in every table, on a host with a parent for macvtaps. */
async function running(t: Parameters<typeof startHost>[0]) {
  const host = await startHost(t, {
    flags: ['--managed-network', '10.77.0.0/24', '--parent-iface', 'up0'],
    prepare: async (made) => {
      await made.tool('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'wire0');
      await made.tool('ip', 'link', 'set', 'up0', 'up');
    },
  });
  const layer = [{ name: 'vmlinux', data: idleKernel() }];
  await writeLayout(join(host.images, 'idle'), { v1: { layers: [layer] } });
  const image = `oci:${host.images}/idle:v1`;
  const vm = await host.create({
    ...{ id: 'all', vcpu: 1, memoryInMb: 32, kernel: { image }, metadata: { 'user-data': SECRET } },
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }],
    interfaces: [
      {
        ...{ guestDeviceName: 'eth0', type: 1, allowMetadataReq: true },
        publishedPorts: [{ hostPort: 8_080, guestPort: 80 }],
      },
      { guestDeviceName: 'eth1', type: 0, allowMetadataReq: true },
    ],
  } as Parameters<typeof host.create>[0]);
  const uid = vm.spec?.uid ?? '';
  const { status } = await host.until(uid, 'CREATED');
  const { instance } = await host.host.serverInfo({});
  const device = (name: string): string => status?.networkInterfaces[name]?.hostDeviceName ?? '';
  const address = status?.networkInterfaces.eth0?.addresses[0] ?? '';
  return { host, uid, instance, tap: device('eth0'), macvtap: device('eth1'), address };
}

test('a leak of each class is found without the ledger, undone when told, and what only looks alike stays', async (t) => {
  const { host, uid, instance, tap } = await running(t);
  expect(await host.audit()).toEqual(CLEAN);
  const bridge = `fl${instance}br`;
  const tables = (await host.tool('nft', 'list', 'tables')).split('\n').map((line) => line.replace('table ', ''));
  const table = (family: string, end = ''): string =>
    tables.find((one) => one === `${family} flintlock_${instance}${end}`) ?? '?';
  const [guards, ports] = [table('bridge'), table('ip')];
  const metadata = tables.find((one) => one.startsWith('inet ') && one.endsWith('_metadata')) ?? '?';
  const macvtaps = table('netdev', '_macvtap');

  const planted: readonly (readonly [string, ...string[]])[] = [
    ['nft', 'add', 'element', ...guards.split(' '), 'ports', '{ "flplanted" }'],
    ['nft', 'add', 'element', ...guards.split(' '), 'addresses', '{ "flplanted" . 10.77.0.99 }'],
    ['nft', 'add', 'element', ...ports.split(' '), 'everywhere', '{ tcp . 9999 : 10.77.0.99 . 80 }'],
    ['nft', 'add', 'element', ...metadata.split(' '), 'targets', '{ 29999 : 10.77.0.1 . 29999 }'],
    ['nft', 'add', 'chain', ...macvtaps.split(' '), 'flplanted'],
    // Nobody's of ours, though much like it.
    ['nft', 'add', 'table', 'inet', `not_flintlock_${instance}`],
    ['nft', 'add', 'set', 'inet', `not_flintlock_${instance}`, 'ports', '{ type inet_service; }'],
    ['nft', 'add', 'element', 'inet', `not_flintlock_${instance}`, 'ports', '{ 80 }'],
    ['ip', 'route', 'add', '198.51.100.0/24', 'dev', 'lo', 'table', '77'],
    ['ip', 'link', 'add', 'theirs', 'type', 'veth', 'peer', 'name', 'theirs2'],
  ];
  for (const [program, ...args] of planted) await host.tool(program, ...args);
  const reservation = `${host.run}/network/hosts/planted-eth0`;
  writeFileSync(reservation, '02:00:00:00:00:99,10.77.0.99,planted\n');

  // The daemon looks after these tables by itself: it may be quicker than the audit.
  const mended = [
    `firewall-element ${guards} ports flplanted`,
    `firewall-element ${guards} addresses flplanted . 10.77.0.99`,
    `firewall-element ${ports} everywhere tcp . 9999 : 10.77.0.99 . 80`,
    `firewall-element ${metadata} targets 29999 : 10.77.0.1 . 29999`,
  ];
  const expected = [`firewall-element ${macvtaps} chain flplanted`, `file ${reservation}`].toSorted();
  const others = (lines: readonly string[]): string[] => lines.filter((line) => !mended.includes(line)).toSorted();
  const found = await host.audit();
  expect(found).toEqual({ leaked: expect.anything(), missing: [], fixed: [] });
  expect(others(found.leaked)).toEqual(expected);
  expect(others((await host.audit(true)).fixed)).toEqual(expected);
  expect(await host.audit()).toEqual(CLEAN);
  expect(existsSync(reservation)).toBe(false);
  expect(await host.tool('nft', 'list', 'table', 'inet', `not_flintlock_${instance}`)).toContain('elements = { 80 }');
  expect(await host.tool('ip', 'route', 'show', 'table', '77')).toContain('198.51.100.0/24');

  // Who plugs something into our bridge knows why: it is told, and left.
  await host.tool('ip', 'link', 'set', 'theirs', 'master', bridge);
  const answer = await host.host.audit({ fix: true });
  expect(answer.fixed).toEqual([]);
  expect(answer.leaked).toMatchObject([{ kind: 'bridge-port', name: `theirs on ${bridge}`, unclear: true }]);
  expect(await host.tool('ip', 'link', 'show', 'master', bridge)).toContain('theirs');
  await host.tool('ip', 'link', 'del', 'theirs');
  expect(host.vmms(uid)).toHaveLength(1);
  expect(await host.tool('ip', 'link', 'show', tap)).toContain(tap);
});

test('what the ledger names and somebody took away is told, each by itself', async (t) => {
  const { host, instance, tap, macvtap, address } = await running(t);
  const guards = `bridge flintlock_${instance}`;
  // What the daemon makes again by itself is not taken: only single microVMs' parts.
  await host.tool('nft', 'delete', 'element', ...guards.split(' '), 'ports', `{ "${tap}" }`);
  expect((await host.audit()).missing).toEqual([`firewall-element ${guards} ports ${tap}`]);
  await host.tool('nft', 'add', 'element', ...guards.split(' '), 'ports', `{ "${tap}" }`);
  expect(await host.audit()).toEqual(CLEAN);

  const published = new RegExp(`^firewall-element ip flintlock_${instance} everywhere tcp . 8080 : `);
  await poll('a published port that was taken away is told', 60_000, async () => {
    // The daemon looks by itself, and may have mended it before it is asked.
    await host.tryInside('nft', 'delete', 'element', 'ip', `flintlock_${instance}`, 'everywhere', '{ tcp . 8080 }');
    const { missing } = await host.audit();
    const [line, ...more] = missing;
    return more.length === 0 && published.test(line ?? '') ? { is: line } : { not: missing.join('\n') };
  });
  await host.tool('ip', 'link', 'set', 'dev', tap, 'nomaster');
  const lost = (await host.audit()).missing;
  // The element before may have been mended by now: the daemon looks by itself.
  const isElement = (line: string): boolean => line.startsWith(`firewall-element ip flintlock_${instance} everywhere `);
  expect(lost.filter((line) => !isElement(line))).toEqual([`bridge-port ${tap} on fl${instance}br`]);
  await host.tool('ip', 'link', 'del', macvtap);
  expect((await host.audit()).missing).toContainEqual(`interface ${macvtap}`);
  await poll('a file that was taken away is told', 60_000, async () => {
    // This, too, may have been mended before it is asked.
    rmSync(`${host.run}/network/hosts`, { recursive: true, force: true });
    const { missing } = await host.audit();
    return missing.filter((line) => line.startsWith('file ')).length === 1
      ? { is: undefined }
      : { not: missing.join('\n') };
  });
  expect(address).toBe(''); // the guest halts, and has asked for none
});

test('a delete stops at what somebody mounted in the microVM’s directory, says so, and goes on when it is unmounted', async (t) => {
  const { host, uid } = await running(t);
  const theirs = join(host.directory, 'theirs');
  const point = join(host.state, 'vm', uid, 'mnt');
  for (const directory of [theirs, point]) mkdirSync(directory);
  writeFileSync(join(theirs, 'kept'), 'x');
  execFileSync('mount', ['--bind', theirs, point]);
  const unmount = (): void => void (existsSync(join(point, 'kept')) && execFileSync('umount', [point]));
  t.onTestFinished(unmount);
  await host.vms.deleteMicroVM({ uid });
  const { message } = await host.untilReason(uid, 'DeleteBlocked');
  expect(message).toContain(`something is mounted at ${point}; unmount it`);
  expect(existsSync(join(theirs, 'kept'))).toBe(true);
  unmount();
  await host.untilGone(uid);
  expect(existsSync(join(theirs, 'kept'))).toBe(true);
});
