import { expect, onTestFinished, test, vi } from 'vitest';
import { FakeClock, turn } from '../../../test/support/fake-clock.ts';
import { memoryLog } from '../../../test/support/memory-log.ts';
import type { AuditReport } from '../../domain/audit.ts';
import { auditPeriodically } from './periodic.ts';

const CLEAN: AuditReport = { known: [], leaked: [], missing: [], fixed: [] };
const LEAK = { kind: 'interface', name: 'flt-ghost', owner: '', detail: '' };

function running(audit: (signal: AbortSignal) => Promise<AuditReport>, everyMs = 900_000) {
  const clock = new FakeClock();
  const log = memoryLog();
  const stop = auditPeriodically({ audit, clock, log, everyMs });
  onTestFinished(stop);
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await turn();
  };
  return { clock, log, stop, pass };
}

test('the host is looked at each period, and what is found is told once while it stays the same', async () => {
  const found = [CLEAN, { ...CLEAN, leaked: [LEAK] }, { ...CLEAN, leaked: [LEAK] }, CLEAN, CLEAN];
  let audits = 0;
  const { log, pass } = running(async () => found[audits++] ?? CLEAN);
  await pass(899_999);
  expect(audits).toBe(0);
  await pass(1);
  for (let i = 0; i < 4; i++) await pass(900_000);
  expect(audits).toBe(5);
  expect(log.lines).toEqual([
    {
      level: 'warn',
      message: expect.stringContaining('"flintlock audit" says more'),
      fields: { leaks: 1, leaked: ['interface flt-ghost'], lost: 0, missing: [] },
    },
    { level: 'info', message: 'an audit found that host and ledger agree again' },
  ]);
});

test('one that fails, or hangs, is told and does not end the others', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  let audits = 0;
  const { log, pass } = running((signal) => {
    audits++;
    if (audits === 1) return Promise.reject(new Error('no ip'));
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  await pass(900_000);
  await pass(900_000);
  expect([audits, log.lines.length]).toEqual([2, 1]);
  vi.advanceTimersByTime(120_000); // the second one had its time
  await pass(0);
  expect(log.lines.map(({ fields }) => String((fields as { error: unknown }).error))).toEqual([
    'Error: no ip',
    'TimeoutError: no end in 120000 ms',
  ]);
  await pass(900_000);
  expect(audits).toBe(3);
});

test('it ends with the daemon, in the middle of a look too, and leaves no timer', async () => {
  const audit = (signal: AbortSignal) =>
    new Promise<AuditReport>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const { log, clock, stop, pass } = running(audit);
  await pass(900_000);
  await stop();
  expect([log.lines, clock.waiting]).toEqual([[], 0]);
});

test('0 is never', () => {
  expect(running(async () => CLEAN, 0).clock.waiting).toBe(0);
});
