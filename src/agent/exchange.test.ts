import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { Exchange } from './exchange.ts';

const never = new Promise<never>(() => undefined);

function connection() {
  const told = { closed: 0, close: () => void told.closed++ };
  return told;
}

test('whatever ends it closes the connection, and is why', async () => {
  const [one, abort] = [connection(), new AbortController()];
  {
    using exchange = new Exchange(one, abort.signal);
    const waits = exchange.or(never);
    abort.abort(new Error('left'));
    await expect(waits).rejects.toThrow('left');
    expect(exchange.reasonOf(new Error('closed'))).toEqual(new Error('left'));
    expect(one.closed).toBe(1);
  }
  const late = connection();
  expect(() => new Exchange(late, abort.signal)).toThrow('left');
  expect(late.closed).toBe(1);
});

test('what cannot be sent is told to the reader, but that the connection is gone, which he sees', async () => {
  const one = connection();
  using exchange = new Exchange(one, new AbortController().signal);
  await expect(exchange.send(() => Promise.reject(new Fault('tool', 'gone')))).rejects.toThrow('gone');
  expect(await exchange.or(Promise.resolve(1))).toBe(1);
  await expect(exchange.send(() => Promise.reject(new Error('no input')))).rejects.toThrow('no input');
  await expect(exchange.or(never)).rejects.toThrow('no input');
});
