import { expect, test } from 'vitest';
import { Fault } from '../../domain/fault.ts';
import { type Act, type Acts, DIRECT } from '../../ports/acts.ts';
import { patient } from './patience.ts';

const late = (): Fault => new Fault('timeout', 'late');
const tap = (ms?: number): Act => ({ kind: 'tap', way: 'make', ...(ms !== undefined && { limit: { ms, late } }) });

/** What reaches the acts below. */
async function reached(patience: number, act: Act): Promise<Act> {
  const seen: Act[] = [];
  const below: Acts = {
    ...DIRECT,
    run(one, work) {
      seen.push(one);
      return DIRECT.run(one, work);
    },
  };
  expect(await patient(below, patience).run(act, async () => 7)).toBe(7);
  return seen[0] ?? act;
}

test('an act has as many times as long, up to what a timer can hold', async () => {
  expect((await reached(10, tap(1_500))).limit).toEqual({ ms: 15_000, late });
  expect((await reached(10, tap(2 ** 31 - 1))).limit?.ms).toBe(2 ** 31 - 1);
  expect((await reached(1, tap(1_500))).limit?.ms).toBe(1_500);
  expect(await reached(10, tap())).toEqual({ kind: 'tap', way: 'make' });
});

test('marks go where they went', () => {
  const seen: string[] = [];
  patient({ ...DIRECT, marked: ({ kind, way }) => void seen.push(`${way} ${kind}`) }, 3).marked(tap());
  expect(seen).toEqual(['make tap']);
});
