import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault, type FaultKind } from '../domain/fault.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../gen/google/rpc/error_details_pb.ts';
import { connectError, wireError } from './status.ts';

const wanted: Record<FaultKind, [Code, number]> = {
  invalid: [3, 400],
  unbuilt: [12, 501],
  expired: [11, 400],
  unauthenticated: [16, 401],
  denied: [7, 403],
  not_found: [5, 404],
  exists: [6, 409],
  conflict: [10, 409],
  refused: [9, 400],
  full: [8, 429],
  timeout: [4, 504],
  cancelled: [1, 499],
  tool: [14, 503],
};

test.each(Object.entries(wanted))('%s', (kind, [code, http]) => {
  const error = wireError(new Fault(kind as FaultKind, 'what happened'), memoryLog());
  expect(error).toEqual({ code, http, message: 'what happened', details: [] });
});

test('violations and the reason travel as details', () => {
  const violations = [{ field: 'vcpu', description: 'must be at least 1' }];
  const fault = new Fault('invalid', 'bad', { violations, reason: 'VolumeTooSmall' });
  const error = connectError(fault, memoryLog());
  expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject(violations);
  expect(error.findDetails(ErrorInfoSchema)[0]).toMatchObject({ reason: 'VolumeTooSmall', domain: 'flintlock' });
});

test('what is no Fault is INTERNAL: logged in full, told in general', () => {
  const log = memoryLog();
  const bug = new TypeError('secret is not a function');
  expect(wireError(bug, log)).toMatchObject({
    code: Code.Internal,
    http: 500,
    message: expect.not.stringMatching(/secret/),
  });
  expect(log.lines).toEqual([expect.objectContaining({ level: 'error', fields: { error: bug } })]);
});

test('an error by the end of the call is that end, a bug after it stays a bug', () => {
  const log = memoryLog();
  const plain = AbortSignal.abort();
  expect(wireError(plain.reason, log, plain).code).toBe(Code.Canceled);
  const late = AbortSignal.abort(new ConnectError('late', Code.DeadlineExceeded));
  expect(wireError(new DOMException('x', 'AbortError'), log, late).code).toBe(Code.DeadlineExceeded);
  const written = Object.assign(new Error('Cannot call write'), { code: 'ERR_STREAM_DESTROYED' });
  expect(wireError(written, log, plain).code).toBe(Code.Canceled);
  expect(log.lines).toEqual([]);
  expect(wireError(new TypeError('bug'), log, plain).code).toBe(Code.Internal);
  expect(wireError(written, log, new AbortController().signal).code).toBe(Code.Internal);
});

test('a request that is wrong in a thousand places gets an answer that fits', () => {
  const violations = Array.from({ length: 1_000 }, (_, i) => ({ field: `volumes[${i}].id`, description: 'is empty' }));
  const error = connectError(Fault.invalid(violations), memoryLog());
  expect(error.rawMessage.length).toBeLessThan(2_100);
  const told = error.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
  expect(told.length).toBeGreaterThan(50);
  expect(told.at(-1)?.description).toBe(`and ${1_000 - told.length + 1} more, which did not fit into this answer`);
});
