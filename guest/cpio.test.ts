import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { cpio } from './cpio.ts';

/** Reads a newc archive: name → mode and content. */
function read(archive: Buffer): Record<string, { mode: string; data: string }> {
  const entries: Record<string, { mode: string; data: string }> = {};
  const align = (at: number): number => (at + 3) & ~3;
  for (let at = 0; at < archive.length; ) {
    expect(archive.toString('latin1', at, at + 6)).toBe('070701');
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11) - 1;
    const start = align(nameEnd + 1);
    const data = archive.toString('utf8', start, start + field(6));
    entries[archive.toString('utf8', at + 110, nameEnd)] = { mode: field(1).toString(8), data };
    at = align(start + field(6));
  }
  return entries;
}

test('files, directories and links keep their modes, whatever their lengths', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-cpio-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'etc'), { mode: 0o755 });
  for (const length of [0, 1, 2, 3, 4, 5]) writeFileSync(join(directory, `f${'x'.repeat(length)}`), 'y'.repeat(length));
  writeFileSync(join(directory, 'etc/run'), '#!/bin/sh\n');
  chmodSync(join(directory, 'etc/run'), 0o755);
  symlinkSync('/bin/busybox', join(directory, 'sh'));

  const archive = cpio(directory);
  expect(read(archive)).toMatchObject({
    etc: { mode: '40755', data: '' },
    'etc/run': { mode: '100755', data: '#!/bin/sh\n' },
    sh: { mode: '120777', data: '/bin/busybox' },
    f: { data: '' },
    fxxx: { data: 'yyy' },
    fxxxxx: { data: 'yyyyy' },
    'TRAILER!!!': { data: '' },
  });
  expect(cpio(directory)).toEqual(archive);
});

test('a name is counted in bytes, not in letters', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-cpio-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const names = ['é', 'größe', '日本', '🦊', 'a🦊', 'ab🦊', 'abc🦊'];
  for (const name of names) writeFileSync(join(directory, name), `in ${name}`);
  symlinkSync('größe', join(directory, 'link'));

  expect(read(cpio(directory))).toEqual({
    ...Object.fromEntries(names.map((name) => [name, { mode: '100644', data: `in ${name}` }])),
    link: { mode: '120777', data: 'größe' },
    'TRAILER!!!': { mode: '0', data: '' },
  });
});
