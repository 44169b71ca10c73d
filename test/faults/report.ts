import { type Met, nameOf } from './point.ts';
import { isRight, type Row } from './walk.ts';

/** One row; what is wrong stands below it. */
export function textOf(row: Row): string {
  const wrong = [
    ...row.lost.map((line) => `lost:    ${line}`),
    ...row.leaked.map((line) => `leaked:  ${line}`),
    ...row.doubled.map((line) => `doubled: ${line}`),
    ...row.failures.map((line) => `failed:  ${line}`),
  ];
  const head = `${isRight(row) ? 'ok    ' : 'WRONG '} ${nameOf(row)} (${row.seconds.toFixed(1)} s)`;
  return [head, ...wrong.map((line) => line.replace(/^/gm, '        '))].join('\n');
}

/** The closing lines. */
export function summaryOf(rows: readonly Row[], met: readonly Met[], minutes: number): string {
  const kinds = new Set(met.map(({ kind }) => kind)).size;
  const count = (action: Row['action']): number => rows.filter((row) => row.action === action).length;
  const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const failed = rows.filter((row) => row.failures.length > 0).length;
  const points = new Set(rows.filter(({ action }) => action === 'kill').map(nameOf)).size;
  return [
    `${kinds} ledger kinds met; ${count('error')} errors, ${count('hang')} hangs, ${count('twice')} acts run twice; ${minutes.toFixed(1)} minutes`,
    ...(failed > 0 ? [`${failed} points could not be walked to their end`] : []),
    `faults: ${points} points, ${sum((row) => row.crashes)} crashes, ${sum((row) => row.lost.length)} lost, ${sum((row) => row.leaked.length)} leaked, ${sum((row) => row.doubled.length)} doubled`,
  ].join('\n');
}
