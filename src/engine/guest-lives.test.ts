import { beforeEach, describe, expect, test } from 'vitest';
import { eventually, FakeClock, turn } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import type { Signs } from '../domain/guest-life.ts';
import type { Condition, MicroVm, Uid } from '../domain/microvm.ts';
import type { Store } from '../ports/store.ts';
import type { GuestState, RunningVmm } from '../ports/vmm.ts';
import { GuestLives } from './guest-lives.ts';

const uid = 'x' as Uid;

function makeBed({ patience = 1 } = {}) {
  const clock = new FakeClock();
  let vm = {
    uid,
    state: { is: 'CREATED', reason: 'Running', message: 'The guest runs' },
    conditions: [],
  } as unknown as MicroVm;
  let writes = 0;
  let broken = false;
  const store: Pick<Store, 'get' | 'update'> = {
    get: () => vm,
    update: (_uid, change) => {
      if (broken) throw new Error('the disk is full');
      const next = change(vm);
      if (next) writes++;
      vm = next ?? vm;
      return vm;
    },
  };
  const boots: (() => void)[] = [];
  const guest = {
    signs: { consoleBytes: 100, diskOperations: 0, packets: 7 } as Signs,
    state: 'running' as GuestState,
  };
  const running = {
    bootedAt: 100,
    advice: 'Try acpi=off',
    get guest() {
      return guest.state;
    },
    signs: async () => guest.signs,
    onBoot: (begun: () => void) => void boots.push(begun),
  } as Partial<RunningVmm> as RunningVmm;
  const log = memoryLog();
  const lives = new GuestLives({
    store: store as Store,
    transactions: { together: async (work) => work() },
    clock,
    log,
    patience,
  });
  const life = (): Condition | undefined => vm.conditions.find(({ type }) => type === 'GuestAlive');
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      await turn();
      clock.advance(Math.min(500, left));
      await turn();
    }
  };
  return {
    ...{ clock, guest, running, log, lives, life, pass },
    boot: () => boots.forEach((begun) => void begun()),
    state: () => vm.state.message,
    writes: () => writes,
    setBroken: (is: boolean) => {
      broken = is;
    },
  };
}

let bed: ReturnType<typeof makeBed>;
beforeEach(() => {
  bed = makeBed();
});

describe('a guest that boots now', () => {
  test.each<[string, Signs]>([
    ['words on its console', { consoleBytes: 101, diskOperations: 0, packets: 7 }],
    ['reads of its disks', { consoleBytes: 100, diskOperations: 1, packets: 7 }],
    ['packets from its interfaces', { consoleBytes: 100, diskOperations: 0, packets: 8 }],
  ])('is alive by %s', async (what, signs) => {
    bed.lives.follow(uid, bed.running, 'now');
    await turn(); // what was there before it is known
    bed.guest.signs = signs;
    await bed.pass(1_000);
    expect(bed.life()).toMatchObject({ status: 'True', reason: 'Alive', message: expect.stringContaining(what) });
    expect(bed.clock.waiting).toBe(0);
    expect(bed.writes()).toBe(1);
  });

  test('of which nothing is seen is told later on a slow host, as it is to be patient', async () => {
    const slow = makeBed({ patience: 3 });
    slow.lives.follow(uid, slow.running, 'now');
    await slow.pass(130_000);
    expect(slow.life()).toMatchObject({ status: 'Unknown' });
    await slow.pass(10_000);
    expect(slow.life()).toMatchObject({ status: 'False', message: expect.stringContaining('--patience') });
  });

  test('of which nothing is seen is told within a minute, in the state too, until something is', async () => {
    bed.lives.follow(uid, bed.running, 'now');
    await bed.pass(44_000);
    expect(bed.life()).toMatchObject({ status: 'Unknown', reason: 'NoSignOfLife' });
    expect(bed.state()).toBe('The guest runs');
    await bed.pass(10_000);
    expect(bed.life()).toMatchObject({
      status: 'False',
      message: expect.stringMatching(/no word.*no packet.*Try acpi=off/),
    });
    expect(bed.state()).toMatch(/^No sign of life of the guest: .*Try acpi=off/);
    await bed.pass(60_000);
    expect(bed.writes()).toBe(2);
    expect(bed.log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    bed.guest.signs = { consoleBytes: 5_000 };
    await bed.pass(6_000);
    expect(bed.life()).toMatchObject({ status: 'True' });
    expect(bed.state()).toBe('The guest runs');
  });

  test('is not blamed for the time in which it is paused', async () => {
    bed.guest.state = 'paused';
    bed.lives.follow(uid, bed.running, 'now');
    await bed.pass(120_000);
    expect(bed.life()?.status).toBe('Unknown');
    bed.guest.state = 'running';
    await bed.pass(56_000);
    expect(bed.life()?.status).toBe('False');
  });

  test('is looked for anew when it boots anew, from what was counted by then', async () => {
    bed.lives.follow(uid, bed.running, 'now');
    await turn();
    bed.guest.signs = { consoleBytes: 200, diskOperations: 9, packets: 7 };
    await bed.pass(1_000);
    bed.boot();
    expect(bed.life()?.status).toBe('Unknown');
    await bed.pass(56_000);
    expect(bed.life()?.status).toBe('False');
  });

  test('and whose record cannot be stored is stored later', async () => {
    bed.lives.follow(uid, bed.running, 'now');
    await turn();
    bed.guest.signs = { consoleBytes: 200 };
    bed.setBroken(true);
    await bed.pass(3_000);
    bed.setBroken(false);
    await bed.pass(10_000);
    expect(bed.life()?.status).toBe('True');
  });
});

test('one that was seen by an earlier daemon is not looked for; one that was not, is', async () => {
  bed.lives.follow(uid, bed.running, 'earlier');
  await turn();
  // Its console may be full of earlier runs: its disks are this run's alone.
  bed.guest.signs = { consoleBytes: 100, diskOperations: 4, packets: 7 };
  await bed.pass(1_000);
  expect(bed.life()?.status).toBe('True');
  const writes = bed.writes();
  bed.lives.follow(uid, bed.running, 'earlier');
  await bed.pass(10_000);
  expect(bed.writes()).toBe(writes);
  expect(bed.clock.waiting).toBe(0);
});

test('who is left is looked for no more', async () => {
  bed.lives.follow(uid, bed.running, 'now');
  await turn();
  bed.lives.leave(uid);
  await eventually('no timer waits', () => bed.clock.waiting === 0);
});
