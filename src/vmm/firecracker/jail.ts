import { basename } from 'node:path';
import { Fault } from '../../domain/fault.ts';
import type { Files, Run } from '../../ports/host.ts';
import { findProgram } from '../../tools/programs.ts';
import { ELF_HEADERS, isDynamic } from './elf.ts';
import { JAIL_TRIAL } from './jail-perl.ts';
import { jailerVersionIn, type Version } from './version.ts';

/** Whether Firecracker is started by its jailer. `auto`: where that can be. */
export const JAIL_CHOICES = ['auto', 'on', 'off'] as const;
export type JailChoice = (typeof JAIL_CHOICES)[number];

/** What Firecracker is jailed with. */
export interface Jail {
  /** The path of the jailer's program. */
  readonly jailer: string;
  /** That of Firecracker's, with symlinks resolved: the jailer makes a copy of it, under this name. */
  readonly program: string;
  readonly programBytes: number;
}

/** Whether it can be jailed: else why not, a clause with the remedy. `isAsked`: a jailer is there, or was asked for. */
export type JailLook = { readonly jail: Jail } | { readonly why: string; readonly isAsked: boolean };

export interface JailOptions {
  readonly choice: JailChoice;
  /** The jailer's program, by name or path. */
  readonly jailer: string;
  /** Firecracker's, likewise, and its version. */
  readonly binary: string;
  readonly version: Version;
  /** Directories of programs, separated by colons. */
  readonly path: string;
  readonly run: Run;
  readonly files: Pick<Files, 'firstFile' | 'realPath' | 'stat' | 'read'>;
  readonly signal: AbortSignal;
}

/** What it is called where nobody said otherwise. */
export const JAILER = 'jailer';

/** Among the capabilities that are told of a Firecracker which is jailed. */
export const JAILED_WORD = 'jail';

/** What is weaker without one: a clause. */
export const UNJAILED =
  'each Firecracker is a user of its own with its own cgroup, and sees the files and processes of the host as every user does';

const VERSION_MS = 20_000;
const TRIAL_MS = 30_000;

/** Looks for the jailer, and tries what it needs of the host. Never rejects but with a bug. */
export async function lookAtJail(options: JailOptions): Promise<JailLook> {
  const { choice, jailer, path, files } = options;
  if (choice === 'off') return { why: 'it is turned off by --firecracker-jail off', isAsked: false };
  const found = await findProgram(files, path, jailer);
  if (!found) {
    const why = `${jailer} is not installed, or not in PATH: put the jailer of Firecracker's own release there, or name it with --firecracker-jailer-bin`;
    return { why, isAsked: choice === 'on' || jailer !== JAILER };
  }
  try {
    const jail = await jailWith(found.path, options);
    return typeof jail === 'string' ? { why: jail, isAsked: true } : { jail };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { why: `${found.path} cannot be tried: ${error.message}`, isAsked: true };
  }
}

/** @returns a clause, where it cannot be */
async function jailWith(
  jailer: string,
  { binary, version, path, run, files, signal }: JailOptions,
): Promise<Jail | string> {
  const said = await run([jailer, '--version'], { signal, timeoutMs: VERSION_MS });
  const itsVersion = jailerVersionIn(said);
  if (itsVersion === undefined) return `${jailer} is no jailer of Firecracker's: it said ${quoted(said)} to --version`;
  if (itsVersion !== version.text)
    return `${jailer} is of version ${itsVersion}, and Firecracker of ${version.text}: take both of one release`;

  const found = await findProgram(files, path, binary);
  const program = found && (await files.realPath(found.path));
  const programBytes = program === undefined ? undefined : (await files.stat(program))?.sizeBytes;
  if (program === undefined || programBytes === undefined) return `${binary} is not there any more`;
  if (isDynamic((await files.read(program, { maxBytes: ELF_HEADERS })) ?? new Uint8Array()))
    return `${program} is linked dynamically, and finds none of its libraries in a jail: take the static program of a release`;

  const tried = (await run(['perl', '-e', JAIL_TRIAL], { signal, timeoutMs: TRIAL_MS })).trim();
  if (tried === 'ok') return { jailer, program, programBytes };
  return `this host, or the container that this is, makes no jails: ${tried || 'nothing was told of it'}. It needs CAP_SYS_ADMIN, CAP_SYS_CHROOT and CAP_MKNOD`;
}

const quoted = (said: string): string => JSON.stringify(said.trim().slice(0, 80));

/** What the jail takes of memory beside what is in it. */
const JAIL_KIB = 4 << 10;

/** The size of the file system in memory that is the jail. */
export const kibOf = ({ programBytes }: Jail): number => Math.ceil(programBytes / 1024) + JAIL_KIB;

/** The jailer's own place for one jail, below its base. */
export const placeOf = ({ program }: Jail, uid: string): string => `${basename(program)}/${uid}/root`;
