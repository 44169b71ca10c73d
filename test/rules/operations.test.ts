import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { Metrics } from '../../src/daemon/metrics/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { memoryLog } from '../support/memory-log.ts';

const PAGE = readFileSync(resolve(import.meta.dirname, '../../docs/operations.md'), 'utf8');
const NAME = /\b(?:flintlock|process|nodejs)_[a-z0-9_]+\b/g;

function names(): readonly string[] {
  const metrics = new Metrics({ version: '0', clock: new FakeClock(), log: memoryLog() });
  onTestFinished(() => metrics.stop());
  return metrics.registry.names();
}

test('the table of docs/operations.md names every metric, and no other', () => {
  const [, table = ''] = /\n## Metrics\n(.*?)\n## /s.exec(PAGE) ?? [];
  expect([...new Set(table.match(NAME))].toSorted()).toEqual(names().toSorted());
});

test('every alert is whole, and asks for metrics that there are', () => {
  const [, text = ''] = /\n## Alerts\n\n```yaml\n(.*?)```/s.exec(PAGE) ?? [];
  const { groups } = parse(text) as { groups: { rules: Record<string, unknown>[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(10);
  for (const rule of rules) {
    const { alert, expr, labels, annotations } = rule;
    expect(alert).toMatch(/^Flintlock[A-Z]\w+$/);
    expect(labels).toEqual({ severity: expect.stringMatching(/^(page|ticket)$/) });
    expect(annotations).toEqual({ summary: expect.any(String) });
    const used = String(expr).match(NAME) ?? [];
    if (alert !== 'FlintlockDown') expect(used).not.toEqual([]);
    for (const name of used) expect(names()).toContain(name.replace(/_(bucket|sum|count)$/, ''));
  }
});
