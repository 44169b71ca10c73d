import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { MAX_DEADLINE_MS, setDeadline, timeoutOf } from './deadline.ts';

test.each([
  [undefined, undefined],
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3_000],
  ['4m', 4],
  ['5000u', 5],
  ['6n', 6e-6],
  ['99999999H', MAX_DEADLINE_MS],
])('grpc-timeout %j is %j ms', (header, ms) => expect(timeoutOf(header)).toBe(ms));

test.each(['', 'soon', '1', 'S', '-1S', '1.5S', '123456789S', '1s', ' 1S'])('grpc-timeout %j is none', (header) =>
  expect(() => timeoutOf(header)).toThrow(expect.objectContaining({ code: Code.InvalidArgument })),
);

test('a time that is up before it begins ends the call at once, none never does, and one that was stopped', () => {
  const call = new AbortController();
  setDeadline(call, undefined)();
  setDeadline(call, 60_000)();
  expect(call.signal.aborted).toBe(false);
  setDeadline(call, 0)();
  expect(ConnectError.from(call.signal.reason).code).toBe(Code.DeadlineExceeded);
});
