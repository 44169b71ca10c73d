import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startFakeDaemon } from '../../test/support/fake-daemon.ts';
import { runCli } from '../../test/support/run-cli.ts';
import { parseAddress } from './address.ts';
import { askLocalDaemon, configured } from './local-daemon.ts';

const { signal } = new AbortController();
const at = (host: string) => ({ address: parseAddress(host) });

test('the daemon that the user means is asked, with its directories and network', async () => {
  const info = { instance: 'wxyz', managedNetwork: '10.90.0.0/24', stateDirectory: '/s', runDirectory: '/r' };
  const { address } = await startFakeDaemon({}, { serverInfo: () => info });
  expect(await askLocalDaemon(at(address), '/nowhere', signal)).toEqual({
    findings: {
      ...{ tools: [], providers: [], stateDirectory: '/s', runDirectory: '/r' },
      network: { bridge: 'flwxyzbr', cidr: '10.90.0.0/24' },
    },
  });
  const { socket } = parseAddress(address) as { socket: string };
  const nobody = { address: { socket: '/nowhere' }, isDefault: true as const };
  expect(await askLocalDaemon(nobody, join(socket, '..'), signal)).toMatchObject({
    findings: { stateDirectory: '/s' },
  });
  expect(await askLocalDaemon(nobody, '/nowhere', signal)).toEqual({});
});

test('one that does not answer, and one of another host, are told', async () => {
  expect(await askLocalDaemon(at('unix:///nowhere/x.sock'), '/nowhere', signal)).toEqual({
    trouble: expect.stringMatching(
      /^unix:\/\/\/nowhere\/x\.sock does not answer, and this host is looked at without it: ./,
    ),
  });
  expect(await askLocalDaemon(at('https://lab.example:9090'), '/nowhere', signal)).toEqual({
    trouble: expect.stringMatching(/^https:\/\/lab\.example:9090 may be another host/),
  });
  const { stdout } = await runCli(['--host', 'lab.example:9090', 'doctor', '--help']);
  expect(stdout).toContain('flintlock doctor');
});

test('without a daemon its settings say it: environment, unit, configuration file', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'fl-local-'));
  try {
    const [unit, file] = [join(directory, 'flintlockd.env'), join(directory, 'flintlockd.yaml')];
    await writeFile(unit, `FLINTLOCKD_CONFIG="${file}"\nFLINTLOCKD_RUN_DIR=/unit\n`);
    await writeFile(file, 'state-dir: /file\nrun-dir: /file\n');
    expect(configured({}, 'state-dir', unit)).toBe('/file');
    expect(configured({}, 'run-dir', unit)).toBe('/unit');
    expect(configured({ FLINTLOCKD_RUN_DIR: '/env' }, 'run-dir', unit)).toBe('/env');
    expect(configured({}, 'qemu-bin', unit)).toBeUndefined();
  } finally {
    await rm(directory, { recursive: true });
  }
});
