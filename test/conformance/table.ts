import type { Result } from './row.ts';

const COLUMNS = ['row', 'expected', 'seen in guest', 'seen on host', 'ok'] as const;
/** Of a column; what is longer is cut, `-o json` has all. */
const WIDEST = 48;

/** `row | expected | seen in guest | seen on host | ok`, and below it what is wrong, with the guest's lines. */
export function table(results: readonly Result[]): string {
  const cells = [
    COLUMNS,
    ...results.map((r) => [r.row, r.expected, r.seen_in_guest || '-', r.seen_on_host || '-', r.ok ? 'ok' : 'WRONG']),
  ].map((row) => row.map((text, i) => (i === 0 ? text : cut(text))));
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join(' | ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('-|-'));
  const wrong = results.filter((r) => !r.ok).flatMap((r) => ['', ...detail(r)]);
  return `${[...lines, ...wrong, '', closing(results)].join('\n')}\n`;
}

function detail(r: Result): string[] {
  return [
    `WRONG ${r.row}`,
    `  expected:      ${r.expected}`,
    `  seen in guest: ${r.seen_in_guest || '-'}`,
    `  seen on host:  ${r.seen_on_host || '-'}`,
    ...r.evidence.map((line) => `  | ${line}`),
  ];
}

function closing(results: readonly Result[]): string {
  const by = (basis: Result['basis']): number => results.filter((r) => r.basis === basis).length;
  const wrong = results.filter((r) => !r.ok).length;
  const counts = (['guest', 'request', 'refused'] as const).map((basis) => `${by(basis)} by ${basis}`).join(', ');
  const again = results.filter((r) => r.tried_again_after !== undefined).length;
  const tried = again === 0 ? '' : `, ${again} at the second try, for want of time`;
  return `${results.length} rows (${counts}): ${wrong === 0 ? 'all ok' : `${wrong} wrong`}${tried}`;
}

const cut = (text: string): string => (text.length > WIDEST ? `${text.slice(0, WIDEST - 1)}…` : text);
