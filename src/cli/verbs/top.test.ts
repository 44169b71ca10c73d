import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test, vi } from 'vitest';
import { FAKE_UID, fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { type CliOptions, runCli } from '../../../test/support/run-cli.ts';
import type {
  StatisticsRequest,
  StatisticsResponseSchema,
} from '../../gen/flintlock/microvm/v1/guest_statistics_pb.ts';
import { MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

const OTHER_UID = '01JDGZ0000000000000000000B';
const STOPPED_UID = '01JDGZ0000000000000000000C';

type Sample = MessageInitShape<typeof StatisticsResponseSchema>;

/** The n-th look at a guest that is busy for a quarter of its time. */
const sample = (n: number): Sample => ({
  uptime: durationFromMs(60_000 + n * 1_000),
  cpus: 2,
  cpuTime: durationFromMs(120_000 + n * 2_000),
  cpuBusy: durationFromMs(1_000 + n * 500),
  memoryBytes: 256n << 20n,
  memoryAvailableBytes: 192n << 20n,
  load: [0.5, 0.25, 0],
  rootBytes: 64n << 20n,
  rootFreeBytes: 16n << 20n,
  disks: [{ name: 'vda', readBytes: BigInt(n) * 2_048n, writtenBytes: 0n }],
  interfaces: [{ name: 'eth0', receivedBytes: 0n, sentBytes: BigInt(n) * 1_024n }],
  processCount: 40,
  processes: [{ pid: 7, name: 'evil\x1b[2J', cpuTime: durationFromMs(n * 500), residentBytes: 1n << 20n }],
});

async function daemon() {
  const asked: StatisticsRequest[] = [];
  const open = { count: 0 };
  const all = [
    fakeVm(),
    fakeVm({ id: 'mute', uid: OTHER_UID }),
    fakeVm({ id: 'off', uid: STOPPED_UID }, { state: State.STOPPED }),
  ];
  const { address } = await startFakeDaemon(
    {
      getMicroVM: ({ id }) => ({ microvm: all.find(({ spec }) => spec?.id === id) ?? fakeVm() }),
      listMicroVMs: ({ namespace }) => ({ microvm: namespace === 'empty' ? [] : all }),
    },
    {},
    {},
    {
      async *statistics(request, { signal }) {
        asked.push(request);
        if (request.uid !== FAKE_UID) throw new ConnectError('has no guest agent', Code.FailedPrecondition);
        open.count++;
        try {
          for (let n = 0; n < 2; n++) yield sample(n);
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        } finally {
          open.count--;
        }
      },
    },
  );
  const run = (argv: readonly string[], options?: CliOptions) => runCli(['--host', address, 'top', ...argv], options);
  return { run, asked, open };
}

test('a line for each microVM, of those that can say', async () => {
  const { run, asked, open } = await daemon();
  const { stdout, exit, stderr } = await run(['--interval', '500ms']);
  expect([exit, stderr]).toEqual([0, '']);
  expect(stdout.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['NAME', 'CPU', 'OF', 'MEMORY', 'OF', 'READ/S', 'WRITE/S', 'IN/S', 'OUT/S', 'PROCESSES', 'UP'],
    ['default/web', '25.0%', '2', '64.0 MiB', '256.0 MiB', '2.0 KiB', '0 B', '0 B', '1.0 KiB', '40', '61s'],
    ['default/mute', ...'---------'.split(''), 'has no guest agent'],
    ['default/off', ...'---------'.split(''), 'it is STOPPED'],
    [''],
  ]);
  expect(asked).toMatchObject([{ uid: FAKE_UID, interval: { nanos: 500_000_000 }, processes: 0 }, { uid: OTHER_UID }]);
  await vi.waitFor(() => expect(open.count).toBe(0));
});

test('one microVM with its processes, whose names move no cursor', async () => {
  const { run, asked } = await daemon();
  const { stdout } = await run(['--processes', '3', 'web']);
  expect(stdout).toContain('25.0% of 2, load 0.50 0.25 0.00, up 61s');
  expect(stdout).toContain('48.0 MiB of 64.0 MiB');
  expect(stdout).toMatch(/^7 +50\.0% +1\.0 MiB +evil\\x1b\[2J$/m);
  expect(asked).toMatchObject([{ processes: 3 }]);
});

test('one that can say nothing fails, with why', async () => {
  const { run } = await daemon();
  const { exit, stderr } = await run(['mute']);
  expect([exit, stderr]).toEqual([
    1,
    expect.stringContaining('default/mute tells nothing of itself: has no guest agent'),
  ]);
});

test('for programs', async () => {
  const { run } = await daemon();
  expect(JSON.parse((await run(['web', '-o', 'json'])).stdout)).toMatchObject({
    ...{ name: 'default/web', cpuPercent: 25, diskReadPerSecond: 2_048, sentPerSecond: 1_024 },
    statistics: { cpuBusy: '1.500s', memoryBytes: '268435456' },
  });
  expect(JSON.parse((await run(['-o', 'json'])).stdout)).toMatchObject([{}, { why: 'has no guest agent' }, {}]);
  expect(await run(['-n', 'empty'])).toMatchObject({
    exit: 0,
    stderr: expect.stringContaining('There are no microVMs'),
  });
});

test('on a terminal it goes on, within the screen, until Ctrl-C', async () => {
  const { run, open } = await daemon();
  const stop = new AbortController();
  const { exit, stdout } = await run(['web', '--interval', '200ms'], {
    ...{ terminal: true, interrupt: stop.signal, env: { NO_COLOR: '1' } },
    onWrite: (all) => all.includes('25.0%') && stop.abort(new Error('interrupted')),
  });
  expect(exit).toBe(0);
  const last = stdout.split('\x1b[H').at(-1) ?? '';
  expect(last.split('\n').every((line) => line.replace('\x1b[K', '').length <= 80)).toBe(true);
  await vi.waitFor(() => expect(open.count).toBe(0));
});

test.each([
  ['--interval', '1ms', /200ms to 1h/],
  ['--processes', '65', /0 to 64/],
])('%s %s is wrong usage', async (flag, value, why) => {
  const { run } = await daemon();
  expect(await run([flag, value])).toMatchObject({ exit: 2, stderr: expect.stringMatching(why) });
});
