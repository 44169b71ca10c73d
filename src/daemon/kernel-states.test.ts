import { expect, test, vi } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { Fault } from '../domain/fault.ts';
import { KERNEL_PARTS } from '../network/kernel-trial.ts';
import type { Run } from '../ports/host.ts';
import { tryKernel } from './kernel-states.ts';

const UPGRADED = { read: async () => Buffer.from('6.1.0-57-amd64\n'), list: async () => ['6.1.0-58-amd64'] };

function started(run: Run) {
  const clock = new FakeClock();
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const parts = [KERNEL_PARTS.bridge, KERNEL_PARTS.firewall];
  const states = tryKernel(parts, { run, files: UPGRADED, clock, log, signal: new AbortController().signal });
  return { clock, log, states };
}

test('what the kernel lacks is told once, with module and remedy, until it can', async () => {
  let isUpgraded = true;
  const { clock, log, states } = started(async (argv) => {
    if (isUpgraded && argv.some((word) => word.includes('type bridge')))
      throw new Fault('tool', 'unshare failed (exit status 1): Error: Unknown device type.\nCommand failed -:1');
    return '';
  });
  await vi.waitFor(() => expect(log.error).toHaveBeenCalled());
  const lacks = {
    found: expect.stringMatching(/^Error: Unknown device type\./),
    remedy: expect.stringMatching(/6\.1\.0-57-amd64 are not on this host .*, bridge among them: reboot$/),
  };
  const works = { name: 'kernel: nf_tables', is: 'works' };
  expect(log.error.mock.calls).toEqual([
    ['the kernel does not do what is needed', { part: 'kernel: bridge', ...lacks }],
  ]);
  expect(states()).toMatchObject([{ name: 'kernel: bridge', is: 'broken', ...lacks }, works]);
  isUpgraded = false;
  await clock.advance(10_000);
  await vi.waitFor(() => expect(states()).toMatchObject([{ name: 'kernel: bridge', is: 'works', found: '' }, works]));
  expect(log.error).toHaveBeenCalledOnce();
  expect(log.info).toHaveBeenCalledOnce();
});

test('where there can be no namespaces nothing is said of the kernel', async () => {
  const { log, states } = started(() =>
    Promise.reject(
      new Fault('tool', 'unshare failed (exit status 1): unshare: unshare failed: Operation not permitted'),
    ),
  );
  await vi.waitFor(() => expect(log.debug).toHaveBeenCalledTimes(2));
  expect([log.error, log.warn].map((one) => one.mock.calls.length)).toEqual([0, 0]);
  expect(states()).toEqual([]);
});
