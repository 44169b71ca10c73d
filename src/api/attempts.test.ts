import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { Fault } from '../domain/fault.ts';
import { Attempts } from './attempts.ts';
import { RareLog } from './rare-log.ts';

const fail = (attempts: Attempts, address: string, times: number): void => {
  for (let i = 0; i < times; i++) attempts.failed(address);
};

test('so many are free, then one each three seconds; others are not troubled', () => {
  const clock = new FakeClock();
  const attempts = new Attempts(clock);
  fail(attempts, '192.0.2.1', 19);
  attempts.check('192.0.2.1');
  fail(attempts, '192.0.2.1', 1);
  expect(() => attempts.check('192.0.2.1')).toThrow(Fault);
  attempts.check('192.0.2.2');
  clock.advance(2_999);
  expect(() => attempts.check('192.0.2.1')).toThrow('try again in 1 s');
  clock.advance(1);
  attempts.check('192.0.2.1');
  clock.set(0); // set back
  expect(() => attempts.check('192.0.2.1')).toThrow(Fault);
});

test('of IPv6 a /64 counts as one', () => {
  const attempts = new Attempts(new FakeClock());
  fail(attempts, '2001:db8::1', 10);
  fail(attempts, '2001:db8:0:0:7::2', 10);
  expect(() => attempts.check('2001:db8:0:0:ffff:1:2:3')).toThrow(Fault);
  attempts.check('2001:db8:0:1::1');
  fail(attempts, '::1', 20);
  expect(() => attempts.check('::1')).toThrow(Fault);
  attempts.check('fe80::1%eth0');
});

test('an attacker with many addresses fills no memory', () => {
  const attempts = new Attempts(new FakeClock());
  for (let i = 0; i < 5_000; i++) fail(attempts, `10.0.${i >> 8}.${i & 255}`, 20);
  attempts.check('10.0.0.0'); // forgotten
  expect(() => attempts.check('10.0.19.135')).toThrow(Fault);
});

test('the same is told once a minute, with how often it came', () => {
  const log = memoryLog();
  const clock = new FakeClock();
  const rare = new RareLog(log, clock);
  for (let i = 0; i < 5; i++) rare.warn('a', 'refused', { from: 'x' });
  rare.warn('b', 'refused', { from: 'y' });
  clock.advance(60_000);
  rare.warn('a', 'refused', { from: 'x' });
  for (let i = 0; i < 3_000; i++) rare.warn(`${i}`, 'many', {});
  expect(log.lines.slice(0, 3)).toEqual([
    { level: 'warn', message: 'refused', fields: { from: 'x' } },
    { level: 'warn', message: 'refused', fields: { from: 'y' } },
    { level: 'warn', message: 'refused', fields: { from: 'x', sinceTheLastLine: 5 } },
  ]);
});
