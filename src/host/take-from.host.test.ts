import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { takeFrom } from './take-from.ts';

function makeFifo(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fl-take-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

test('what has come is taken, and nothing is waited for', () => {
  const path = makeFifo();
  expect(takeFrom(path, 100)).toHaveLength(0); // nobody writes
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(fd));
  expect(takeFrom(path, 100)).toHaveLength(0);
  writeSync(fd, 'one two');
  expect(Buffer.from(takeFrom(path, 4)).toString()).toBe('one ');
  expect(Buffer.from(takeFrom(path, 100)).toString()).toBe('two');
  expect(takeFrom(path, 100)).toHaveLength(0);
});

test('what is no FIFO is refused: a file, a link to one, nothing', () => {
  const path = makeFifo();
  writeFileSync(`${path}-file`, 'x');
  symlinkSync(path, `${path}-link`);
  expect(() => takeFrom(`${path}-file`, 1)).toThrow('it is no FIFO');
  expect(() => takeFrom(`${path}-link`, 1)).toThrow(/ELOOP/);
  expect(() => takeFrom(`${path}-none`, 1)).toThrow(/ENOENT/);
});
