import { afterEach, beforeEach, expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { Database } from './database.ts';

let db: Database;
beforeEach(() => {
  db = new Database(':memory:');
  db.sql.exec('CREATE TABLE said (word TEXT NOT NULL UNIQUE)');
});
afterEach(() => db.close());

const say = (word: string | null) => (): string => {
  db.sql.prepare('INSERT INTO said VALUES (?)').run(word);
  return String(word);
};
const said = (): readonly string[] =>
  db.sql
    .prepare('SELECT word FROM said')
    .all()
    .map(({ word }) => String(word));

test('all that is asked for in one turn is one commit, and each has its own answer', async () => {
  const before = db.commits;
  const answers = Promise.all(['a', 'b', 'c'].map((word) => db.together(say(word))));
  expect(said()).toEqual([]);
  expect(await answers).toEqual(['a', 'b', 'c']);
  expect(db.commits).toBe(before + 1);
  expect(said()).toEqual(['a', 'b', 'c']);
});

test('what one throws undoes that one alone, with what it wanted to be called for', async () => {
  const called: string[] = [];
  const calling = (word: string, then?: Error) => (): string => {
    db.afterCommit(() => void called.push(word));
    say(word)();
    if (then) throw then;
    return word;
  };
  const refused = new Fault('refused', 'no room');
  const answers = await Promise.allSettled([
    db.together(calling('a')),
    db.together(calling('b', refused)),
    db.together(say('a')),
    db.together(calling('c')),
  ]);
  expect(answers.map((one) => ('value' in one ? one.value : one.reason))).toEqual([
    'a',
    refused,
    expect.objectContaining({ kind: 'tool', message: expect.stringContaining('UNIQUE') }),
    'c',
  ]);
  expect(said()).toEqual(['a', 'c']);
  expect(called).toEqual(['a', 'c']);
});

test('what keeps all of it from being stored is told to each', async () => {
  const answers = Promise.allSettled([db.together(say('a')), db.together(say('b'))]);
  db.sql.exec('DROP TABLE said; CREATE TABLE said (word TEXT CHECK (false))');
  expect((await answers).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(said()).toEqual([]);
  db.sql.exec('BEGIN'); // somebody forgot to end his
  const [first, second] = await Promise.allSettled([db.together(say('c')), db.together(say('d'))]);
  expect([first.status, second.status]).toEqual(['rejected', 'rejected']);
});

test('what waits when it is closed is stored', async () => {
  const answer = db.together(say('a'));
  const { sql } = db;
  db.close();
  expect(await answer).toBe('a');
  expect(() => sql.exec('SELECT 1')).toThrow();
  db = new Database(':memory:');
});

test('after a commit that took long others wait a moment for one another, and one that comes later does not', async () => {
  const slow = (word: string) => (): string => {
    for (const until = performance.now() + 8; performance.now() < until; );
    return say(word)();
  };
  db.close();
  db = new Database(':memory:', undefined, 10);
  db.sql.exec('CREATE TABLE said (word TEXT NOT NULL UNIQUE)');
  await db.together(slow('a'));
  const before = db.commits;
  const first = db.together(say('b'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(said()).toEqual(['a']);
  await Promise.all([first, db.together(say('c'))]);
  expect(db.commits).toBe(before + 1);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const alone = db.together(say('d'));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(said()).toEqual(['a', 'b', 'c', 'd']);
  await alone;
});
