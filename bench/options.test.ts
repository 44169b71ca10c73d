import { expect, test } from 'vitest';
import { ROWS } from './catalogue.ts';
import { lacks } from './machine.ts';
import type { Group } from './measure/group.ts';
import { optionsOf, Usage } from './options.ts';
import { GROUPS, measureAll } from './run.ts';

const silent = (): void => undefined;
const ALL = { runs: Number.POSITIVE_INFINITY, isSmall: false };

test('what is asked for', () => {
  expect(optionsOf([])).toMatchObject({ json: false, runs: Number.POSITIVE_INFINITY, page: false, check: false });
  expect(optionsOf(['--only', 'api', '-o', 'json', '--runs', '3'])).toMatchObject({ only: 'api', json: true, runs: 3 });
});

test.each([
  [['-o', 'xml'], '-o takes json'],
  [['--runs', '0'], '--runs'],
  [['--runs', 'x'], '--runs'],
  [['--only', 'api', '--store'], 'of all rows'],
  [['--small', '--page'], 'of all rows'],
  [['--from', 'x'], 'belongs to bench:check'],
])('%j is refused', (args, words) => {
  expect(() => optionsOf(args)).toThrow(Usage);
  expect(() => optionsOf(args)).toThrow(words);
});

test('every row is measured by one group, and has a name of its own', () => {
  const measured = GROUPS.flatMap(({ rows }) => rows);
  expect(measured.toSorted()).toEqual(ROWS.map(({ name }) => name).toSorted());
  expect(new Set(measured).size).toBe(measured.length);
});

const groupOf = (rows: readonly string[], measure: Group['measure'], needs: Group['needs'] = []): Group => ({
  ...{ rows, needs, measure },
});

test('one measurement that fails keeps none of the others, and rows come in the order of the table', async () => {
  const groups = [
    groupOf(['api-list', 'api-get'], async () => ({
      'api-get': { ours: [1], reference: [1], paired: true },
      'api-list': { ours: [1], reference: [2], paired: true },
    })),
    groupOf(['delete'], async () => Promise.reject(new Error('no network\nand more'))),
  ];
  const { results } = await measureAll(ALL, silent, groups);
  expect(results.map(({ row, met, note }) => [row.name, met, note])).toEqual([
    ['delete', false, 'it failed: no network'],
    ['api-get', true, undefined],
    ['api-list', false, undefined],
  ]);
});

test('only what is asked for runs, as often as is asked for', async () => {
  const counts: number[] = [];
  const group = (name: string): Group =>
    groupOf([name], async (run) => {
      counts.push(run.runs(40), run.crowd(1_000));
      run.steps([{ label: 'tap', value: 1 }]);
      return { [name]: { ours: [1], reference: [1], paired: true } };
    });
  const groups = [group('api-get'), group('create-exec'), group('delete')];
  const { results, steps } = await measureAll({ only: 'create', runs: 2, isSmall: true }, silent, groups);
  expect(results.map(({ row }) => row.name)).toEqual(['create-exec']);
  expect(counts).toEqual([2, 100]);
  expect(steps).toEqual([{ label: 'tap', value: 1 }]);
});

test('what a machine lacks is said in place of its rows', async () => {
  const why = lacks('KVM');
  const measure = async () => ({ 'kvm-line': { ours: [1], reference: [1], paired: true } });
  const { results } = await measureAll(ALL, silent, [groupOf(['kvm-line'], measure, ['KVM'])]);
  expect(results[0]?.met).toBe(why === undefined ? true : undefined);
  expect(results[0]?.note).toBe(why === undefined ? undefined : `left out: ${why}`);
});
