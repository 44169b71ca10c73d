import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { demoSpec, startHost, TestHost } from '../support/daemon.ts';

test('the audit names a tap, a file, a table and a process planted under our naming, and removes them only when told', async (t) => {
  const host = await startHost(t);
  const made = await host.create(demoSpec('one'));
  const uid = made.spec?.uid ?? '';
  const vm = await host.until(uid, 'CREATED');
  const device = vm.status?.networkInterfaces.eth0?.hostDeviceName ?? '';
  const { instance } = await host.host.serverInfo({});

  const tap = `${device.slice(0, 6)}planted`;
  await host.tool('ip', 'tuntap', 'add', tap, 'mode', 'tap');
  await host.tool('nft', 'add', 'table', 'inet', `flintlock_${instance}_planted`);
  const file = `${host.state}/vm/${uid}/planted`;
  writeFileSync(file, 'x');
  const directory = `${host.state}/vm/01ARZ3NDEKTSV4RRFFQ69G5FAV`;
  writeFileSync(`${host.run}/planted.sock`, 'x');
  await host.tool('mkdir', '-p', `${directory}/deeper`);
  const planted: ChildProcess = spawn('sh', ['-c', 'exec -a qemu-system-x86_64 sleep 3600 2>/dev/null'], {
    stdio: 'ignore',
  });
  planted.kill('SIGKILL');
  // bash can give a program another name; its arguments name our state directory.
  const process_ = spawn(
    'bash',
    [
      '-c',
      `exec -a qemu-system-x86_64 tail -f /dev/null --pid=${process.pid} ${host.state}/vm/planted-by-hand 2>/dev/null`,
    ],
    { stdio: 'ignore' },
  );
  t.onTestFinished(() => void process_.kill('SIGKILL'));

  const expected = [
    `process ${process_.pid}`,
    `interface ${tap}`,
    `firewall-table inet flintlock_${instance}_planted`,
    `file ${file}`,
    `file ${host.run}/planted.sock`,
    `directory ${directory}`,
  ];
  const found = await host.audit();
  expect(found.leaked.toSorted()).toEqual(expected.toSorted());
  expect(found.missing).toEqual([]);
  expect(existsSync(file)).toBe(true);
  expect(process_.exitCode).toBeNull();
  expect(await host.tool('ip', 'link', 'show', tap)).toContain(tap);

  const fixed = await host.audit(true);
  expect(fixed.fixed.toSorted()).toEqual(expected.toSorted());
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
  expect(existsSync(file)).toBe(false);
  // What is the microVM's own was not touched.
  expect(host.vmms(uid)).toHaveLength(1);
  expect((await host.get(uid)).status?.state).toBe(1);
});

test('the audit says what the ledger names and the host has not', async (t) => {
  const host = await startHost(t);
  const vm = await host.create(demoSpec('one'));
  const uid = vm.spec?.uid ?? '';
  const running = await host.until(uid, 'CREATED');
  const device = running.status?.networkInterfaces.eth0?.hostDeviceName ?? '';
  await host.tool('ip', 'link', 'del', device);
  const { leaked, missing } = await host.audit();
  expect(leaked).toEqual([]);
  expect(missing).toEqual([`interface ${device}`]);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
});

test('of what a broken tool hides it says that it cannot tell, and compares the rest', async (t) => {
  const host = new TestHost({});
  t.onTestFinished(() => host.close());
  const tools = `${host.directory}/tools`;
  const broken = `${host.directory}/broken`;
  mkdirSync(tools);
  const nft = execFileSync('which', ['nft'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh\n[ ! -e ${broken} ] || { echo nft is broken >&2; exit 1; }\nexec ${nft} "$@"\n`;
  writeFileSync(`${tools}/nft`, script, { mode: 0o755 });
  host.env = { PATH: `${tools}:${process.env.PATH}` };
  await host.start();
  const uid = (await host.create(demoSpec('one'))).spec?.uid ?? '';
  const running = await host.until(uid, 'CREATED');
  writeFileSync(`${host.state}/vm/${uid}/planted`, 'x');
  const device = running.status?.networkInterfaces.eth0?.hostDeviceName ?? '';
  await host.tool('ip', 'link', 'del', device);
  writeFileSync(broken, '');
  const { leaked, missing } = await host.host.audit({ fix: true });
  expect(leaked.map(({ kind, name, unclear }) => `${kind} ${name} ${unclear}`).toSorted()).toEqual([
    'firewall-element all true',
    'firewall-table all true',
  ]);
  for (const { detail } of leaked) expect(detail).toMatch(/could not be looked at: .*nft is broken/);
  expect(missing.map(({ kind, name }) => `${kind} ${name}`)).toEqual([`interface ${device}`]);
  expect(existsSync(`${host.state}/vm/${uid}/planted`)).toBe(false);
  rmSync(broken);
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('what is mounted in a directory of ours, and a loop device there, are told of and never emptied', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  const theirs = `${host.directory}/theirs`;
  const leaked = `${host.state}/vm/01ARZ3NDEKTSV4RRFFQ69G5FAV`;
  const disk = `${leaked}/disk`;
  mkdirSync(theirs);
  mkdirSync(`${leaked}/mnt`, { recursive: true });
  writeFileSync(`${theirs}/kept`, 'x');
  writeFileSync(disk, Buffer.alloc(1 << 20));
  execFileSync('mount', ['--bind', theirs, `${leaked}/mnt`]);
  const loop = execFileSync('losetup', ['--find', '--show', disk]).toString().trim();
  let isThere = true;
  const clear = (): void => {
    if (!isThere) return;
    isThere = false;
    execFileSync('losetup', ['--detach', loop]);
    execFileSync('umount', [`${leaked}/mnt`]);
  };
  t.onTestFinished(clear);

  const found = ['loop-device ', 'mount ', 'directory '].map((kind, i) => kind + [loop, `${leaked}/mnt`, leaked][i]);
  expect((await host.audit()).leaked.toSorted()).toEqual(found.toSorted());
  const tried = await host.host.audit({ fix: true });
  expect(tried.fixed).toEqual([]);
  expect(tried.leaked).toHaveLength(3);
  for (const { detail } of tried.leaked) expect(detail).toContain('cannot tell whose');
  expect(existsSync(`${theirs}/kept`)).toBe(true);

  clear();
  expect((await host.audit(true)).fixed).toEqual([`directory ${leaked}`]);
  expect(existsSync(`${theirs}/kept`)).toBe(true);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});
