import { expect, test } from 'vitest';
import { FakeClock } from '../../../test/support/fake-clock.ts';
import { Fault } from '../../domain/fault.ts';
import { type ProgramVerdict, TriedProgram } from './tried-program.ts';

const never = new AbortController().signal;
const fails = (why: string): ProgramVerdict => ({ works: false, why });

function makeTried(verdicts: readonly (ProgramVerdict | Promise<ProgramVerdict>)[]) {
  const left = [...verdicts];
  const told: unknown[] = [];
  const tried = new TriedProgram({
    attempt: async () => left.shift() ?? { works: true },
    programs: ['vmm'],
    tell: (verdict, isNews) => told.push([verdict.works ? '' : verdict.why, isNews]),
    path: '',
    files: { firstFile: async () => undefined },
    clock: new FakeClock(),
  });
  return { tried, told };
}

test('it is tried when it is made; who wants to know of the first trial waits for that alone', async () => {
  const { promise, resolve } = Promise.withResolvers<ProgramVerdict>();
  const { tried, told } = makeTried([promise]);
  let isOver = false;
  const first = tried.first(never).then(() => {
    isOver = true;
  });
  await Promise.resolve();
  expect([isOver, tried.last]).toEqual([false, undefined]);
  await expect(tried.first(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  resolve(fails('it hangs'));
  await first;
  expect(tried.lastWorking).toBeUndefined();
  expect(told).toEqual([['it hangs', true]]);
  await tried.first(AbortSignal.abort()); // it is known
});

test('what does not work starts nothing', async () => {
  const { tried } = makeTried([fails('no KVM')]);
  await expect(tried.start(never, async () => expect.unreachable())).rejects.toMatchObject({
    ...{ kind: 'refused', reason: 'ProviderUnavailable', message: 'no KVM' },
  });
});

test('where nothing is known of it for want of room, that is told', async () => {
  const untried = new Fault('full', 'no room', { reason: 'StorageFull' });
  const { tried } = makeTried([{ works: false, why: 'no room', untried }]);
  await expect(tried.working(never)).rejects.toBe(untried);
});

test('after a start that failed it is tried anew: whose fault it is is told', async () => {
  const { tried, told } = makeTried([{ works: true }, { works: true }, fails('KVM is gone')]);
  const broken = async (): Promise<void> => {
    throw new Fault('tool', 'its kernel is broken');
  };
  await expect(tried.start(never, broken)).rejects.toThrow('its kernel is broken');
  await expect(tried.start(never, broken)).rejects.toThrow('KVM is gone');
  expect(told).toEqual([
    ['', false],
    ['', false],
    ['KVM is gone', true],
  ]);
  expect(tried.last).toEqual(fails('KVM is gone'));
});
