import { Fault } from '../../domain/fault.ts';
import type { Files, Run } from '../../ports/host.ts';
import { findProgram } from '../../tools/programs.ts';
import { type DeviceLook, type KvmChoice, lookAtDevices } from './devices.ts';
import { unavailable } from './ends.ts';
import { type JailChoice, type JailLook, lookAtJail } from './jail.ts';
import { isFrom, OLDEST, type Version, versionIn } from './version.ts';

export interface TrialOptions {
  /** The program, by name or path. */
  readonly binary: string;
  /** Directories of programs, separated by colons. */
  readonly path: string;
  readonly run: Run;
  readonly files: Files;
  readonly kvm: KvmChoice;
  /** The jailer's program, by name or path, and whether it is used. */
  readonly jailer: string;
  readonly jail: JailChoice;
  /** How the host's devices are tried; absent: by opening them. */
  readonly devices?: typeof lookAtDevices;
  /** Absent: it is tried to the end. */
  readonly signal?: AbortSignal;
}

/** What came of asking a program whether it is Firecracker, and the host whether it can run. */
export type FirecrackerVerdict =
  | {
      readonly works: true;
      readonly version: Version;
      readonly groups: DeviceLook['groups'];
      readonly jailed: JailLook;
    }
  | {
      readonly works: false;
      /** Absent: it did not tell one. */
      readonly version?: Version;
      /** There is no such program: nobody has asked for one, unless by its setting. */
      readonly isMissing?: true;
      /** A sentence, with the remedy. */
      readonly why: string;
    };

/** It tells its version within 10 ms. */
const VERSION_MS = 20_000;
const EXECUTABLE = 0o111;

/**
 * Asks the program for its version, and tries the host's devices as a user who is not root, as whom it will run. That a guest runs
 * in it is not tried.
 */
export async function tryFirecracker(options: TrialOptions): Promise<FirecrackerVerdict> {
  const { binary, run, files, kvm, jail, devices = lookAtDevices, signal = new AbortController().signal } = options;
  try {
    const isNone = await whyNoProgram(options);
    if (isNone) return { works: false, ...isNone };
    const said = await run([binary, '--version'], { signal, timeoutMs: VERSION_MS });
    const version = versionIn(said);
    if (!version) return { works: false, why: unavailable(binary, `it is no Firecracker: ${whatItSaid(said)}`) };
    if (!isFrom(version, OLDEST)) {
      const why = `it is Firecracker ${version.text}, and must be ${OLDEST.major}.${OLDEST.minor} or later`;
      return { works: false, version, why: unavailable(binary, why) };
    }
    const jailed = await lookAtJail({ ...options, choice: jail, version, signal });
    if (jail === 'on' && 'why' in jailed)
      return {
        works: false,
        version,
        why: `Firecracker is to run in a jail (--firecracker-jail on), and ${jailed.why}`,
      };
    const { groups, why } = await devices({ run, files, signal, kvm, isJailed: 'jail' in jailed });
    return why === undefined ? { works: true, version, groups, jailed } : { works: false, version, why };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const hangs = error.kind === 'timeout' ? 'it hangs, or this host is far too slow: ' : '';
    return { works: false, why: unavailable(binary, `${hangs}${wordsOf(error, binary)}`) };
  }
}

async function whyNoProgram({
  binary,
  path,
  files,
}: TrialOptions): Promise<{ readonly why: string; readonly isMissing?: true } | undefined> {
  const found = await findProgram(files, path, binary);
  if (!found) {
    const there = binary.includes('/') ? await files.stat(binary) : undefined;
    if (there?.kind === 'directory') return { why: unavailable(binary, 'it is a directory') };
    return { why: unavailable(binary, 'it is not installed, or not in PATH'), isMissing: true };
  }
  const real = await files.realPath(found.path);
  const mode = real === undefined ? undefined : (await files.stat(real))?.mode;
  if (mode !== undefined && (mode & EXECUTABLE) === 0)
    return { why: unavailable(binary, `${found.path} is not executable ('chmod +x')`) };
  return undefined;
}

const whatItSaid = (said: string): string =>
  said.trim() === '' ? 'it prints no version' : `it said ${JSON.stringify(said.trim().slice(0, 80))} to --version`;

/** What the program, and not setpriv before it, said. */
function wordsOf(error: Fault, binary: string): string {
  const unable = /setpriv: failed to execute \S+: (.*)/.exec(error.message)?.[1];
  return unable ?? error.message.replace(/^setpriv failed/, `${binary} failed`);
}
