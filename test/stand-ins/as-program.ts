import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A stand-in whose sources are to be one program. */
export interface Sources {
  /** Of the program. */
  readonly name: string;
  /** Where its sources are, and which: `main.ts` is begun. */
  readonly directory: string;
  readonly files: readonly string[];
  /** Set in its environment; undefined: not. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Makes a program in a directory, that any user may run.
 * @param directory - that every user may enter
 * @returns its path
 */
export function asProgram(directory: string, { name, directory: from, files, environment }: Sources): string {
  const sources = join(directory, `${name}-stand-in`);
  mkdirSync(sources, { recursive: true });
  for (const at of [directory, sources]) {
    chmodSync(at, 0o755);
    writeFileSync(join(at, 'package.json'), '{ "type": "module" }');
    chmodSync(join(at, 'package.json'), 0o644);
  }
  for (const file of files) {
    copyFileSync(join(from, file), join(sources, file));
    chmodSync(join(sources, file), 0o644);
  }
  const path = join(directory, name);
  // As a script it is named in its own command line, as a program is.
  const script = [
    `#!${nodeFor(directory)}`,
    `Object.assign(process.env, ${JSON.stringify(environment)});`,
    `await import('./${name}-stand-in/main.ts');`,
    '',
  ];
  writeFileSync(path, script.join('\n'));
  chmodSync(path, 0o755);
  return path;
}

/** This Node, or a copy of it where only we may run it. */
function nodeFor(directory: string): string {
  const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--', 'test', '-x', process.execPath];
  if (spawnSync('setpriv', asNobody).status === 0) return process.execPath;
  const own = join(directory, 'node');
  copyFileSync(process.execPath, own);
  chmodSync(own, 0o755);
  return own;
}
