import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { agentProgram } from './agent.ts';

const HERE = import.meta.dirname;
/** Debian's package busybox-static. */
const BUSYBOX = '/bin/busybox';

/**
 * Writes the demo guest's files into a directory that is empty or not there:
 * busybox, a link for each of its programs, guest/tree and the guest agent.
 */
export function writeDemoTree(directory: string): void {
  for (const path of ['bin', 'sbin', 'usr/bin', 'usr/sbin', 'dev', 'proc', 'sys', 'run', 'mnt', 'etc'])
    mkdirSync(join(directory, path), { recursive: true, mode: 0o755 });
  mkdirSync(join(directory, 'root'), { mode: 0o700 });
  mkdirSync(join(directory, 'tmp'), { mode: 0o755 });
  cpSync(BUSYBOX, join(directory, 'bin/busybox'), { dereference: true });
  const programs = execFileSync(BUSYBOX, ['--list-full'], { encoding: 'utf8' }).split('\n');
  for (const program of programs) {
    if (program === '' || program === 'bin/busybox' || !program.includes('/')) continue;
    symlinkSync('/bin/busybox', join(directory, program));
  }
  cpSync(join(HERE, 'tree'), directory, { recursive: true });
  cpSync(agentProgram(), join(directory, 'sbin/flintlock-agent'));
  symlinkSync('/run/resolv.conf', join(directory, 'etc/resolv.conf'));
}
