import type { HealthDraft, SpecDraft } from './draft.ts';
import type { Condition } from './microvm.ts';

/** How a guest is asked whether it is well. */
export interface HealthCheck {
  /** A program of the guest, and its arguments: well is what ends with 0. */
  readonly exec: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** So many failures in a row are one that counts. */
  readonly failures: number;
  /** So long after the start of a run no failure counts, until the first success. */
  readonly startMs: number;
}

export const HEALTH_DEFAULTS = { intervalMs: 30_000, timeoutMs: 10_000, failures: 3, startMs: 60_000 } as const;

type Bad = (field: string, description: string) => void;

const MAX_EXEC_BYTES = 4 << 10;
const MAX_MS = 86_400_000;
const MAX_FAILURES = 100;
const LEAST_MS = 1_000;

/** What is wrong with it, in API field names. */
export function checkHealth({ health, providerOptions }: SpecDraft, bad: Bad): void {
  if (!health) return;
  const refuse = (field: string, description: string): void => bad(`health_check.${field}`, description);
  const { exec, intervalMs, timeoutMs, failures, startMs } = health;
  if (!exec[0]) refuse('exec', 'is required: the program that the guest is asked with, and its arguments');
  if (exec.some((text) => text.includes('\0') || /\p{Cs}/u.test(text)))
    refuse('exec', 'holds a NUL, which no program can be given');
  if (exec.reduce((sum, text) => sum + text.length + 1, 0) > MAX_EXEC_BYTES)
    refuse('exec', `must have at most ${MAX_EXEC_BYTES} characters together`);
  const times = { interval: intervalMs, timeout: timeoutMs };
  for (const [field, ms] of Object.entries(times))
    if (ms !== undefined && !(ms >= LEAST_MS && ms <= MAX_MS)) refuse(field, 'must be 1 s to 24 h');
  if (startMs !== undefined && !(startMs >= 0 && startMs <= MAX_MS)) refuse('start_period', 'must be 0 s to 24 h');
  if (failures < 0 || failures > MAX_FAILURES)
    refuse('failures', `must be 1 to ${MAX_FAILURES}, or 0 for ${HEALTH_DEFAULTS.failures}`);
  if (providerOptions.agent === 'off')
    bad('health_check', "is asked by the guest's agent, which provider_options has off: leave one of the two out");
}

/** With which nothing is wrong: what was left out has its default. */
export const toHealth = ({ exec, intervalMs, timeoutMs, failures, startMs }: HealthDraft): HealthCheck => ({
  exec,
  intervalMs: intervalMs ?? HEALTH_DEFAULTS.intervalMs,
  timeoutMs: timeoutMs ?? HEALTH_DEFAULTS.timeoutMs,
  failures: failures || HEALTH_DEFAULTS.failures,
  startMs: startMs ?? HEALTH_DEFAULTS.startMs,
});

/** What `Healthy` says, and why. */
export type HealthReport = Pick<Condition, 'status' | 'message'> & {
  readonly reason: 'HealthCheckPassed' | 'Unhealthy' | 'HealthUnknown';
};

export const healthUnknown: HealthReport = {
  ...{ status: 'Unknown', reason: 'HealthUnknown' },
  message: 'The guest has not been asked yet: that needs its agent',
};

export const healthy: HealthReport = {
  ...{ status: 'True', reason: 'HealthCheckPassed' },
  message: 'The program of health_check ended with exit status 0',
};

/** @param why - of the last one: a clause */
export const unhealthy = (failures: number, why: string): HealthReport => ({
  ...{ status: 'False', reason: 'Unhealthy' },
  message: `The health check failed ${failures === 1 ? 'once' : `${failures} times in a row`}: ${why}`,
});
