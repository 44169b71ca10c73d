import { expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Uid } from '../domain/microvm.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { UnplugCutOff } from './unplug-cut-off.ts';

const uid = 'x' as Uid;
const { signal } = new AbortController();

function vmm(unplug?: (device: string) => Promise<void>): RunningVmm {
  return { unplug } as unknown as RunningVmm;
}

test('each VMM is told once of each interface, and again where that failed', async () => {
  const log = memoryLog();
  const asked: string[] = [];
  let isReached = false;
  let running: RunningVmm | undefined;
  const cutOff = new UnplugCutOff({ guests: { of: () => running }, log, signal });
  await cutOff.see(uid, ['tap0']); // it does not run
  running = vmm(async (device) => {
    asked.push(device);
    if (!isReached) throw new Error('no answer');
  });
  await cutOff.see(uid, ['tap0']);
  isReached = true;
  await cutOff.see(uid, ['tap0', 'tap1']);
  await cutOff.see(uid, ['tap0', 'tap1']);
  expect(asked).toEqual(['tap0', 'tap0', 'tap1']);
  expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info', 'info']);
  running = vmm(async (device) => void asked.push(`again ${device}`));
  await cutOff.see(uid, ['tap0']);
  running = vmm(); // of a kind that has nothing to do for it
  await cutOff.see(uid, ['tap0']);
  expect(asked.slice(3)).toEqual(['again tap0']);
});
