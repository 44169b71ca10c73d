import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../firecracker/machine.ts';

/** How a stand-in misbehaves. `no-nodes`: as where no device nodes may be made. */
export interface JailerMisbehaviour {
  readonly how?: 'exits' | 'hangs' | 'silent' | 'no-nodes';
  readonly version?: string;
}

/** What a script of Node needs of the host to run, by where it finds it. */
const OF_NODE = ['/usr', '/lib', '/lib64', '/bin'];
/** What the stand-in of Firecracker has beside itself. */
const OF_STAND_IN = /^(?:package\.json|.+\.ts|firecracker-stand-in|flintlock-agent|guest-programs)$/;

/**
 * Makes a program `jailer` in a directory where there is a stand-in of Firecracker already: it shows that, in its jail, what it
 * needs beside itself, which a static program does not.
 * @returns its path
 */
export function makeJailer(directory: string, { how, version = VERSION }: JailerMisbehaviour = {}): string {
  const firecracker = readFileSync(join(directory, 'firecracker'), 'utf8');
  const node = /^#!(.*)$/m.exec(firecracker)?.[1] ?? process.execPath;
  const beside = {
    ...Object.fromEntries(OF_NODE.map((path) => [path, path])),
    [node]: node,
    ...Object.fromEntries(
      readdirSync(directory)
        .filter((name) => OF_STAND_IN.test(name))
        .map((name) => [`/${name}`, join(directory, name)]),
    ),
  };
  const quoted = (text: string): string => `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
  const path = join(directory, 'jailer');
  const pairs = Object.entries(beside).map(([at, what]) => `${quoted(at)} => ${quoted(what)}`);
  const head = [
    '#!/usr/bin/perl',
    `($main::VERSION, $main::HOW, %main::BESIDE) = (${quoted(version)}, ${quoted(how ?? '')}, ${pairs.join(', ')});`,
    '',
  ];
  writeFileSync(path, head.join('\n') + readFileSync(join(import.meta.dirname, 'jailer.pl'), 'utf8'));
  chmodSync(path, 0o755);
  return path;
}
