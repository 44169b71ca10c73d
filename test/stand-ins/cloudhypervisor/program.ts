import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const HERE = import.meta.dirname;
const SOURCES = ['main.ts', 'events.ts', 'front.ts', 'guest.ts', 'machine.ts', 'refusal.ts', 'shapes.ts'];

/** How a stand-in misbehaves before it is told of a machine. */
export interface Misbehaviour {
  readonly how?: 'exits' | 'hangs' | 'never-listens' | 'silent' | 'ignores-term';
  /** As it says it: `v53.0`. */
  readonly version?: string;
}

/**
 * Makes a program `cloud-hypervisor` in a directory, that any user may run.
 * @param directory - that every user may enter
 * @returns its path
 */
export function makeStandIn(directory: string, { how, version }: Misbehaviour = {}): string {
  const sources = join(directory, 'cloudhypervisor-stand-in');
  mkdirSync(sources, { recursive: true });
  for (const at of [directory, sources]) writeFileSync(join(at, 'package.json'), '{ "type": "module" }');
  for (const name of SOURCES) copyFileSync(join(HERE, name), join(sources, name));
  for (const path of [directory, sources]) chmodSync(path, 0o755);
  chmodSync(join(directory, 'package.json'), 0o644);
  for (const name of ['package.json', ...SOURCES]) chmodSync(join(sources, name), 0o644);
  const path = join(directory, 'cloud-hypervisor');
  const environment = {
    ...(how !== undefined && { CLOUD_HYPERVISOR_STAND_IN: how }),
    ...(version !== undefined && { CLOUD_HYPERVISOR_STAND_IN_VERSION: version }),
  };
  // As a script it is named in its own command line, as a program is.
  const script = [
    `#!${nodeFor(directory)}`,
    `Object.assign(process.env, ${JSON.stringify(environment)});`,
    `await import('./${basename(sources)}/main.ts');`,
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
