import type { HealthDraft, SpecDraft } from './draft.ts';
import { shorten } from './labels.ts';
import type { Condition } from './microvm.ts';

/** A GET from within the guest: well is what is answered with 200 to 399. */
export interface HttpQuestion {
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a guest is asked. It is told apart by its field, as records of before `http` and `tcp` have it. */
export type HealthQuestion = Readonly<
  /** A program of the guest, and its arguments: well is what ends with 0. */
  { exec: readonly string[] } | { http: HttpQuestion } | { tcp: { readonly port: number } }
>;

/** How a guest is asked whether it is well. */
export type HealthCheck = HealthQuestion & HealthTimes;

export interface HealthTimes {
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
const MAX_PATH = 2_048;
const PATH = /^(\/[!"$-~]{0,2047})?$/;
const MAX_HEADERS = 16;
const MAX_HEADER_BYTES = 4 << 10;
/** RFC 9110, 5.6.2 and 5.5, without what is obsolete there. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADER_VALUE = /^([\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?)?$/;
/** How a request ends, and what becomes of its connection, is not the user's. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'upgrade', 'te', 'trailer', 'expect'],
  ...['content-length', 'transfer-encoding', 'proxy-connection'],
]);

/** What is wrong with it, in API field names. */
export function checkHealth({ health, providerOptions }: SpecDraft, bad: Bad): void {
  if (!health) return;
  const refuse: Bad = (field, description) => bad(`health_check.${field}`, description);
  checkQuestion(health, bad, refuse);
  const { intervalMs, timeoutMs, failures, startMs } = health;
  const times = { interval: intervalMs, timeout: timeoutMs };
  for (const [field, ms] of Object.entries(times))
    if (ms !== undefined && !(ms >= LEAST_MS && ms <= MAX_MS)) refuse(field, 'must be 1 s to 24 h');
  if (startMs !== undefined && !(startMs >= 0 && startMs <= MAX_MS)) refuse('start_period', 'must be 0 s to 24 h');
  if (failures < 0 || failures > MAX_FAILURES)
    refuse('failures', `must be 1 to ${MAX_FAILURES}, or 0 for ${HEALTH_DEFAULTS.failures}`);
  if (providerOptions.agent === 'off')
    bad('health_check', "is asked by the guest's agent, which provider_options has off: leave one of the two out");
}

function checkQuestion({ exec, http, tcp }: HealthDraft, bad: Bad, refuse: Bad): void {
  const given = [...(exec.length > 0 ? ['exec'] : []), ...(http ? ['http'] : []), ...(tcp ? ['tcp'] : [])];
  if (given.length === 0) bad('health_check', 'needs one of exec, http and tcp: what the guest is asked');
  if (given.length > 1) bad('health_check', `has ${given.join(' and ')}: leave all but one of them out`);
  if (exec.length > 0) {
    if (!exec[0]) refuse('exec', 'begins with an empty text: give the program that the guest is asked with');
    if (exec.some((text) => text.includes('\0') || /\p{Cs}/u.test(text)))
      refuse('exec', 'holds a NUL, which no program can be given');
    if (exec.reduce((sum, text) => sum + text.length + 1, 0) > MAX_EXEC_BYTES)
      refuse('exec', `must have at most ${MAX_EXEC_BYTES} characters together`);
  }
  for (const [field, asked] of Object.entries({ http, tcp }))
    if (asked && !(asked.port >= 1 && asked.port <= 65_535)) refuse(`${field}.port`, 'must be 1 to 65535');
  if (http && !PATH.test(http.path))
    refuse(
      'http.path',
      `must begin with "/" and have at most ${MAX_PATH} printable characters of ASCII, no blank, no "#"`,
    );
  if (http) checkHeaders(http.headers, refuse);
}

function checkHeaders(headers: HttpQuestion['headers'], refuse: Bad): void {
  const names = Object.keys(headers);
  if (names.length > MAX_HEADERS) refuse('http.headers', `has ${names.length} entries: at most ${MAX_HEADERS}`);
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length)
    refuse('http.headers', 'has a name twice: upper and lower case are the same');
  let length = 0;
  for (const [name, value] of Object.entries(headers)) {
    const field = `http.headers[${shorten(name)}]`;
    length += name.length + value.length;
    if (!HEADER_NAME.test(name)) refuse(field, 'is no name of a header');
    else if (OWN_HEADERS.has(name.toLowerCase())) refuse(field, 'is of the connection itself: leave it out');
    if (!HEADER_VALUE.test(value)) refuse(field, 'must have printable characters of ASCII, no blank at either end');
  }
  if (length > MAX_HEADER_BYTES) refuse('http.headers', `must have at most ${MAX_HEADER_BYTES} characters together`);
}

/** With which nothing is wrong: what was left out has its default. */
export const toHealth = ({ exec, http, tcp, intervalMs, timeoutMs, failures, startMs }: HealthDraft): HealthCheck => ({
  ...(http ? { http: { ...http, path: http.path || '/' } } : tcp ? { tcp } : { exec }),
  intervalMs: intervalMs ?? HEALTH_DEFAULTS.intervalMs,
  timeoutMs: timeoutMs ?? HEALTH_DEFAULTS.timeoutMs,
  failures: failures || HEALTH_DEFAULTS.failures,
  startMs: startMs ?? HEALTH_DEFAULTS.startMs,
});

/** What `Healthy` says, and why. */
export type HealthReport = Pick<Condition, 'status' | 'message'> & {
  readonly reason: 'HealthCheckPassed' | 'Unhealthy' | 'HealthUnknown';
};

/** @param why - it is not known: a clause */
export const healthUnknown = (why = 'that needs its agent'): HealthReport => ({
  ...{ status: 'Unknown', reason: 'HealthUnknown' },
  message: `The guest has not been asked yet: ${why}`,
});

export const healthy = (question: HealthQuestion): HealthReport => ({
  ...{ status: 'True', reason: 'HealthCheckPassed' },
  message: wellWords(question),
});

function wellWords(question: HealthQuestion): string {
  if ('exec' in question) return 'The program of health_check ended with exit status 0';
  if ('tcp' in question) return `Port ${question.tcp.port} of the guest took a connection`;
  return `GET ${shorten(question.http.path)} at port ${question.http.port} of the guest was answered with success`;
}

/** @param why - of the last one: a clause */
export const unhealthy = (failures: number, why: string): HealthReport => ({
  ...{ status: 'False', reason: 'Unhealthy' },
  message: `The health check failed ${failures === 1 ? 'once' : `${failures} times in a row`}: ${why}`,
});
