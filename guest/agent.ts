import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SOURCES = join(import.meta.dirname, 'agent');
const PROGRAM = join(SOURCES, 'flintlock-agent');

/** Debian's package musl-tools: a C library that a program can hold whole, in some ten kilobytes. */
const COMPILER = 'musl-gcc';
const FLAGS = [
  ...['-std=c11', '-D_DEFAULT_SOURCE', '-Os', '-static', '-s'],
  ...['-Wall', '-Wextra', '-Wshadow', '-Wconversion', '-Wno-sign-conversion', '-Werror'],
  ...['-fstack-protector-strong', '-ffunction-sections', '-fdata-sections', '-Wl,--gc-sections'],
];

/**
 * The guest agent, compiled if it is not there or a source of it is newer: that takes a second.
 *
 * @returns its file
 * @throws Error with the compiler's words, or what to install
 */
export function agentProgram(): string {
  const sources = readdirSync(SOURCES).filter((name) => /\.[ch]$/.test(name));
  const made = statSync(PROGRAM, { throwIfNoEntry: false })?.mtimeMs;
  if (made !== undefined && sources.every((name) => statSync(join(SOURCES, name)).mtimeMs <= made)) return PROGRAM;
  const partial = mkdtempSync(join(SOURCES, '.partial-'));
  try {
    const output = join(partial, 'flintlock-agent');
    const files = sources.filter((name) => name.endsWith('.c')).sort();
    execFileSync(COMPILER, [...FLAGS, '-o', output, ...files], { cwd: SOURCES, stdio: ['ignore', 'ignore', 'pipe'] });
    renameSync(output, PROGRAM);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')
      throw new Error(
        `Cannot compile the guest agent: there is no ${COMPILER}; install it (Debian: apt-get install musl-tools)`,
        { cause },
      );
    throw cause;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return PROGRAM;
}

if (process.argv[1] === import.meta.filename) agentProgram();
