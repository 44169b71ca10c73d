import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { agentProgram } from '../../guest/agent.ts';

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
  addAgent(directory);
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

/**
 * What the guests that stand-ins pretend have of real: the guest agent, and what a command in them does to power, which must
 * not be the host's. It is told to the agent's parent by a signal.
 */
function addAgent(directory: string): void {
  const agent = join(directory, 'flintlock-agent');
  copyFileSync(agentProgram(), agent);
  chmodSync(agent, 0o755);
  const programs = join(directory, 'guest-programs');
  mkdirSync(programs, { recursive: true });
  chmodSync(programs, 0o755);
  for (const [program, signal] of [
    ['reboot', 'USR1'],
    ['poweroff', 'USR2'],
  ] as const) {
    // In a jail there is no /proc to find it in, and the agent keeps nothing else of its environment. The shell's own kill: a small
    // Debian has no other.
    const script = `#!/bin/sh\nparent=\${PATH#*/stand-in/}\nkill -${signal} "\${parent%%:*}"\n`;
    writeFileSync(join(programs, program), script);
    chmodSync(join(programs, program), 0o755);
  }
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
