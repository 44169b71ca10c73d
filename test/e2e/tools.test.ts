import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { demoSpec, TestHost } from '../support/daemon.ts';
import { runCli } from '../support/run-cli.ts';

const MONITOR = 'exec qemu-system-x86_64 "$@"';

test('a host whose tools do not do what is needed refuses creates and says why, until they do', async (t) => {
  const host = new TestHost({ flags: ['--managed-network', 'none'] });
  t.onTestFinished(() => host.close());
  const bin = `${host.directory}/bin`;
  mkdirSync(bin);
  const program = (name: string, body: string): string => {
    writeFileSync(`${bin}/${name}`, `#!/bin/sh\n${body}\n`);
    chmodSync(`${bin}/${name}`, 0o755);
    return `${bin}/${name}`;
  };
  const qemu = program('qemu', `set -- "$@" -bios /nowhere/bios-microvm.bin\n${MONITOR}`);
  // Its own --version and --help are in order.
  program('mke2fs', 'case "$*" in *" -d "*) echo "mke2fs: -d: not in this build" >&2; exit 1 ;; esac');
  host.env = { PATH: `${bin}:${process.env.PATH}` };
  await host.start('--qemu-bin', qemu);

  const refusal = async (): Promise<string> => {
    try {
      await host.create(demoSpec('one', { interfaces: [] }));
    } catch (error) {
      return ConnectError.from(error).rawMessage;
    }
    return '';
  };
  const doctor = async (): Promise<{ name: string; status: string; found: string; fix: string }[]> => {
    const { stdout } = await runCli(['doctor', '--run-dir', host.run, '--state-dir', host.state, '-o', 'json']);
    return JSON.parse(stdout).checks.filter(({ name }: { name: string }) => /^(qemu-system|mke2fs|skopeo)/.test(name));
  };
  expect(await refusal()).toMatch(/bios-microvm\.bin.*--qemu-bin/s);
  expect(host.log).toMatch(/QEMU does not work.*bios-microvm\.bin/);
  await expect.poll(() => host.log, { timeout: 60_000 }).toMatch(/a tool does not work.*mke2fs/);
  // The daemon's QEMU and its PATH, not those of who asks.
  expect(await doctor()).toMatchObject([
    { status: 'fail', found: expect.stringContaining('bios-microvm.bin'), fix: expect.stringContaining(qemu) },
    { name: 'skopeo', status: 'ok', found: expect.stringContaining('as the daemon finds it') },
    { name: 'mke2fs', status: 'fail', found: expect.stringContaining('not in this build') },
  ]);
  const info = await runCli(['--host', `unix://${host.socket}`, 'info']);
  expect(info.stdout).toMatch(/not usable.*bios-microvm\.bin/);
  expect(info.stdout).toMatch(/mke2fs.*not in this build/);

  // Mended, it is used without a restart; what is not mended yet is in the way, with its own remedy.
  program('qemu', MONITOR);
  await expect.poll(refusal, { timeout: 60_000 }).toMatch(/not in this build.*apt-get install e2fsprogs/s);
  rmSync(`${bin}/mke2fs`);
  await expect.poll(refusal, { timeout: 60_000 }).toBe('');
});
