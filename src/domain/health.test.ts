import { expect, test } from 'vitest';
import { fullDraft } from '../../test/support/fake-host.ts';
import type { HealthDraft } from './draft.ts';
import { Fault } from './fault.ts';
import { toHealth } from './health.ts';
import { validate } from './validate.ts';

const NOTHING: HealthDraft = { exec: [], failures: 0 };
const http = (more: Partial<NonNullable<HealthDraft['http']>>): Partial<HealthDraft> => ({
  http: { port: 80, path: '/', headers: {}, ...more },
});

function wrongWith(health: Partial<HealthDraft>, providerOptions = {}): readonly string[] {
  try {
    validate({ ...fullDraft, providerOptions, health: { ...NOTHING, ...health } }, 'x');
    return [];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return error.violations.map(({ field }) => field);
  }
}

test.each<[Partial<HealthDraft>, readonly string[]]>([
  [{ exec: ['true'] }, []],
  [{ tcp: { port: 65_535 } }, []],
  [http({}), []],
  [http({ path: '' }), []],
  [http({ path: '/a%20b?full=1&x=~', headers: { Host: 'shop.example', 'X-Key': 'a b\tc', Empty: '' } }), []],
  [{}, ['health_check']],
  [{ exec: ['true'], tcp: { port: 1 } }, ['health_check']],
  [{ ...http({}), tcp: { port: 1 } }, ['health_check']],
  [{ exec: ['', 'x'] }, ['health_check.exec']],
  [{ exec: ['a\0'] }, ['health_check.exec']],
  [{ tcp: { port: 0 } }, ['health_check.tcp.port']],
  [{ tcp: { port: -1 } }, ['health_check.tcp.port']],
  [http({ port: 65_536 }), ['health_check.http.port']],
  [http({ path: 'up' }), ['health_check.http.path']],
  [http({ path: 'http://elsewhere/' }), ['health_check.http.path']],
  [http({ path: '/a b' }), ['health_check.http.path']],
  [http({ path: '/ HTTP/1.1\r\nX: y' }), ['health_check.http.path']],
  [http({ path: '/#x' }), ['health_check.http.path']],
  [http({ path: '/ü' }), ['health_check.http.path']],
  [http({ path: `/${'x'.repeat(2_048)}` }), ['health_check.http.path']],
  [http({ headers: { 'a b': 'c' } }), ['health_check.http.headers[a b]']],
  [http({ headers: { '': 'c' } }), ['health_check.http.headers[]']],
  [http({ headers: { a: 'b\r\nc: d' } }), ['health_check.http.headers[a]']],
  [http({ headers: { a: ' b' } }), ['health_check.http.headers[a]']],
  [http({ headers: { 'Content-LENGTH': '3' } }), ['health_check.http.headers[Content-LENGTH]']],
  [http({ headers: { Host: 'a', host: 'b' } }), ['health_check.http.headers']],
  [http({ headers: { a: 'x'.repeat(4_096) } }), ['health_check.http.headers']],
  [
    http({ headers: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`h${n}`, 'x'])) }),
    ['health_check.http.headers'],
  ],
  [{ tcp: { port: 1 }, intervalMs: 999, timeoutMs: Number.NaN }, ['health_check.interval', 'health_check.timeout']],
  [{ tcp: { port: 1 }, startMs: -1, failures: 101 }, ['health_check.start_period', 'health_check.failures']],
])('%j', (health, fields) => {
  expect(wrongWith(health)).toEqual(fields);
});

test('without an agent nothing can be asked', () => {
  expect(wrongWith({ tcp: { port: 1 } }, { agent: 'off' })).toEqual(['health_check']);
});

test('a record has the one question, and the defaults of what was left out', () => {
  const times = { intervalMs: 30_000, timeoutMs: 10_000, failures: 3, startMs: 60_000 };
  expect(toHealth({ ...NOTHING, exec: ['a'] })).toEqual({ exec: ['a'], ...times });
  expect(toHealth({ ...NOTHING, tcp: { port: 5432 } })).toEqual({ tcp: { port: 5432 }, ...times });
  expect(toHealth({ ...NOTHING, ...http({ path: '' }), startMs: 0 })).toEqual({
    ...{ http: { port: 80, path: '/', headers: {} }, ...times, startMs: 0 },
  });
});
