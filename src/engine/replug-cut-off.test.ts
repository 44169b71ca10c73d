import { expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Uid } from '../domain/microvm.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { ReplugCutOff } from './replug-cut-off.ts';

const uid = 'x' as Uid;
const { signal } = new AbortController();

function vmm(replug?: (device: string) => Promise<void>): RunningVmm {
  return { replug } as unknown as RunningVmm;
}

test('each VMM is asked as long as it lasts, and that it failed is said once', async () => {
  const log = memoryLog();
  const asked: string[] = [];
  let isReached = false;
  let running: RunningVmm | undefined;
  const cutOff = new ReplugCutOff({ guests: { of: () => running }, log, signal });
  await cutOff.see(uid, ['tap0']); // it does not run
  running = vmm(async (device) => {
    asked.push(device);
    if (!isReached) throw new Error('no answer');
  });
  await cutOff.see(uid, ['tap0']);
  await cutOff.see(uid, ['tap0']);
  isReached = true;
  await cutOff.see(uid, ['tap0', 'tap1']);
  // It may be deleted again.
  isReached = false;
  await cutOff.see(uid, ['tap0']);
  expect(asked).toEqual(['tap0', 'tap0', 'tap0', 'tap1', 'tap0']);
  expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info', 'info', 'warn']);
  running = vmm(); // of a kind that has nothing to do for it
  await cutOff.see(uid, ['tap0']);
  expect(asked).toHaveLength(5);
});
