import { Fault } from '../../domain/fault.ts';
import type { Files, Run, RunLimits } from '../../ports/host.ts';
import { findProgram } from '../../tools/programs.ts';
import { unavailable } from './ends.ts';
import { type LandlockChoice, landlockObstacle } from './landlock.ts';

export interface TrialOptions {
  /** The program, by name or path. */
  readonly binary: string;
  /** Directories of programs, separated by colons. */
  readonly path: string;
  readonly run: Run;
  readonly files: Pick<Files, 'firstFile' | 'realPath' | 'stat'>;
  /** Why KVM cannot be used; undefined: it can. */
  readonly kvm: (limits: Pick<RunLimits, 'signal' | 'timeoutMs'>) => Promise<string | undefined>;
  readonly landlock: LandlockChoice;
  /** Absent: it is tried to the end. */
  readonly signal?: AbortSignal;
}

export type Verdict =
  | {
      readonly works: true;
      readonly version: string;
      /** Its file, as it was found. */
      readonly program: string;
      /** Whether it can be told to stay when its guest powers itself off. */
      readonly stays: boolean;
      /** Whether it takes overlays of qcow2. */
      readonly overlays: boolean;
      /** Why it does not shut itself out of the host's files, a clause; undefined: it does. */
      readonly unconfined: string | undefined;
      /** What is weaker than it could be, as a sentence with the remedy; absent: nothing. */
      readonly caution?: string;
    }
  | {
      readonly works: false;
      readonly version: string;
      /** A sentence, with the remedy. */
      readonly why: string;
      /** There is no such program. */
      readonly isMissing?: true;
    };

/** Its answer takes 10 ms. */
const TRIAL_MS = 30_000;
/** The oldest that was looked into. */
const OLDEST = 39;
/** Since then there is `--no-shutdown`. */
const STAYS_SINCE = 52;
/** Since then it is told what a disk is, and whether that may name another below it; before it looks, and follows what it finds there. */
const TYPES_SINCE = 51;
/** Since then what a guest has overwritten with zeros by one request stays zeros in an overlay: before, what lies below comes back. */
export const OVERLAYS_SINCE = 53;
const PROBES =
  'a guest can write at the start of its disk that another file lies below it, and reads after its next reboot whatever of the host everybody may read: take 51 or later for guests of people you do not know';
/** `cloud-hypervisor v53.0-246-g0d1e2f3`; what is built outside of its repository says `v53.0.0`. */
const VERSION = /^cloud-hypervisor v?((\d+)\.\d\S*)/m;

/** Sees that there is a Cloud Hypervisor, of which version, and that it can use KVM. It starts no guest: that takes a kernel. */
export async function tryCloudHypervisor(options: TrialOptions): Promise<Verdict> {
  const { binary, run, landlock, signal = new AbortController().signal } = options;
  const limits = { timeoutMs: TRIAL_MS, signal };
  let version = '';
  const fails = (why: string): Extract<Verdict, { works: false }> => ({ works: false, version, why });
  try {
    const found = await findProgram(options.files, options.path, binary);
    if (!found) return { ...fails(unavailable(binary, await whyNone(binary, options.files))), isMissing: true };
    const text = await run([found.path, '--version'], limits);
    const [, words, major] = VERSION.exec(text) ?? [];
    if (words === undefined) {
      const said = JSON.stringify(text.trim().slice(0, 80));
      return fails(`Cannot use ${binary}: it is no Cloud Hypervisor, of its version it says ${said}. ${NAME_ANOTHER}`);
    }
    version = words;
    if (Number(major) < OLDEST)
      return fails(
        `Cannot use ${binary}: it is version ${version}, and ${OLDEST} is the oldest that is supported. ${NAME_ANOTHER}`,
      );
    const obstacle = await options.kvm(limits);
    if (obstacle !== undefined) return fails(`Cloud Hypervisor needs KVM, and ${obstacle}`);
    const unconfined = await landlockObstacle(run, { choice: landlock, major: Number(major) }, limits);
    if (landlock === 'on' && unconfined !== undefined)
      return fails(`Cloud Hypervisor must confine itself (--cloudhypervisor-landlock on), and ${unconfined}`);
    return {
      ...{ works: true, version, program: found.path, stays: Number(major) >= STAYS_SINCE },
      ...{ overlays: Number(major) >= OVERLAYS_SINCE, unconfined },
      ...(Number(major) < TYPES_SINCE && { caution: `In version ${version} of Cloud Hypervisor ${PROBES}` }),
    };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.kind === 'timeout')
      return fails(`Cannot use ${binary}: it hangs, or this host is far too slow: ${error.message}. ${NAME_ANOTHER}`);
    const words = error.message.replace(/^Cannot run [^:]+: /, '').replace(/^.*setpriv: failed to execute \S+: /, '');
    // It is there: it was found.
    const why = /not installed|No such file/.test(words) ? NO_LOADER : words;
    return fails(`Cannot use ${binary}: ${why}. ${NAME_ANOTHER}`);
  }
}

async function whyNone(binary: string, files: Pick<Files, 'stat'>): Promise<string> {
  const info = binary.includes('/') ? await files.stat(binary) : undefined;
  if (info === undefined) return 'it is not installed or not in PATH';
  return info.kind === 'directory' ? 'it is a directory' : 'it is no file';
}

const NO_LOADER = 'its interpreter or dynamic loader is not here, as where it was built for another system';
const NAME_ANOTHER = 'Name another with --cloudhypervisor-bin';
