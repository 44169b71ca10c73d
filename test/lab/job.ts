import { appendFileSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cpio } from '../../guest/cpio.ts';

export interface Job {
  readonly command: readonly string[];
  /** Absolute, a directory of this machine. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A directory that is shared both ways, at the same path there. */
  readonly out: string | undefined;
}

/** Of this run alone: there it would name a directory that nobody sees. */
const NOT_THERE = ['TMPDIR', '_'];

/**
 * Writes the initrd of one run: that of all runs, and the job behind it. Linux
 * unpacks one archive after the other.
 *
 * @param prepared - what prepare.ts has made
 * @param scratch - a directory that is empty
 * @returns the initrd's file
 */
export function writeJob(job: Job, prepared: string, scratch: string): string {
  const tree = join(scratch, 'tree');
  const directory = join(tree, 'job');
  mkdirSync(directory, { recursive: true });
  copyFileSync(join(import.meta.dirname, 'host.sh'), join(directory, 'host.sh'));
  writeFileSync(join(directory, 'command.sh'), commandScript(job), { mode: 0o600 });
  writeFileSync(join(directory, 'modules'), join(prepared, 'lib/modules'));
  writeFileSync(join(directory, 'cwd'), job.cwd);
  if (job.out !== undefined) writeFileSync(join(directory, 'out'), job.out);
  const initrd = join(scratch, 'initrd');
  copyFileSync(join(prepared, 'initrd'), initrd);
  appendFileSync(initrd, gzipSync(cpio(tree)));
  return initrd;
}

/** The command for a shell that changes nothing of it: status 127 and a message where it is not found. */
export function commandScript({ command, cwd, env }: Pick<Job, 'command' | 'cwd' | 'env'>): string {
  const variables = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || NOT_THERE.includes(name) ? [] : [quoted(`${name}=${value}`)],
  );
  return [
    `cd ${quoted(cwd)} || exit 125`,
    // By its path: PATH of the job is not yet that of this shell.
    `exec /run/lab/busybox env -i ${[...variables, ...command.map(quoted)].join(' ')}`,
    '',
  ].join('\n');
}

/** A word of a shell that stands for itself, whatever is in it. */
function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
