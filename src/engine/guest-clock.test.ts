import { expect, test, vi } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVm, Uid } from '../domain/microvm.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { Store } from '../ports/store.ts';
import { setClockOf } from './guest-clock.ts';

const uid = 'x' as Uid;
const never = new AbortController().signal;

function makeBed(clockBehindMs?: number) {
  let vm = {
    ...{ uid, conditions: [], state: { is: 'CREATED', reason: 'Running', message: 'behind' } },
    ...(clockBehindMs !== undefined && { clockBehindMs }),
  } as unknown as MicroVm;
  const store: Pick<Store, 'get' | 'update'> = {
    get: () => vm,
    update: (_uid, change) => {
      vm = change(vm) ?? vm;
      return vm;
    },
  };
  const setClock = vi.fn(async () => 5_000);
  const agent = { setClock } as Partial<GuestAgent> as GuestAgent;
  return { store: store as Store, log: memoryLog(), agent, setClock, now: () => vm };
}

test('a clock that is behind is set, and is not told as behind any more', async () => {
  const { agent, now, ...deps } = makeBed(5_000);
  await setClockOf(uid, agent, deps, never);
  expect(now().clockBehindMs).toBeUndefined();
  expect(now().state.message).toBe('The guest runs');
});

test('one that is right is left alone, and so is that of an agent that cannot set it', async () => {
  const right = makeBed();
  await setClockOf(uid, right.agent, right, never);
  expect(right.setClock).not.toHaveBeenCalled();
  const { now, ...deps } = makeBed(5_000);
  await setClockOf(uid, {} as GuestAgent, deps, never);
  expect(now().clockBehindMs).toBe(5_000);
});

test('one that could not be set is told as behind still', async () => {
  const { agent, now, setClock, ...deps } = makeBed(5_000);
  setClock.mockRejectedValue(new Fault('refused', 'the clock cannot be set'));
  await setClockOf(uid, agent, deps, never);
  expect(now().clockBehindMs).toBe(5_000);
});
