import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { STUB_MEMORY_BYTES, stubAt } from './pvh-stub.ts';

const SOURCE = join(import.meta.dirname, 'pvh-stub.S');

function isThere(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const missing = ['as', 'ld', 'objcopy'].filter((tool) => !isThere(tool));

test.skipIf(missing.length > 0).each([0x10_0000, 0x401_f000, 0])(
  `the bytes are those of the source, at %i${missing.length > 0 ? ` (skipped: no ${missing.join(', ')} here; binutils has them)` : ''}`,
  (address) => {
    const directory = mkdtempSync(join(tmpdir(), 'fl-stub-'));
    const at = (name: string): string => join(directory, name);
    try {
      execFileSync('as', ['--64', '-o', at('o'), SOURCE]);
      execFileSync('ld', [
        '-m',
        'elf_x86_64',
        '-e',
        'start',
        `-Ttext=0x${address.toString(16)}`,
        '-o',
        at('elf'),
        at('o'),
      ]);
      execFileSync('objcopy', ['-O', 'binary', '-j', '.text', at('elf'), at('bin')]);
      const assembled = readFileSync(at('bin'));
      const ours = stubAt(address, 0);
      expect(assembled.subarray(0, ours.length).toString('hex')).toBe(Buffer.from(ours).toString('hex'));
      expect(assembled.length).toBe(STUB_MEMORY_BYTES);
      expect(assembled.subarray(ours.length).every((byte) => byte === 0)).toBe(true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);
