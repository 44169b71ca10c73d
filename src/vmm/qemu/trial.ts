import { join } from 'node:path';
import { Fault } from '../../domain/fault.ts';
import { oneLine } from '../../domain/one-line.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Files, Run } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { withScratch } from '../../tools/scratch.ts';
import { type AccelChoice, type Acceleration, chooseAcceleration } from './accel.ts';
import { FIRMWARE, type Firmware, type Machine, qemuArgv, USER_SWITCHES, type UserSwitch } from './argv.ts';
import { unavailable } from './ends.ts';
import { consoleLog } from './layout.ts';
import { TRIAL_WORDS, trialKernel } from './trial-kernel.ts';

export interface TrialOptions {
  /** The program, by name or path. */
  readonly binary: string;
  readonly accel: AccelChoice;
  readonly acpi: boolean;
  /** Whose trials they are: see `tools/scratch.ts`. */
  readonly whose: string;
  readonly run: Run;
  readonly files: Files;
  readonly clock: Pick<Clock, 'elapsed'>;
  /** Absent: it is tried to the end. */
  readonly signal?: AbortSignal;
}

/** What came of booting the smallest guest there is, with all our arguments. */
export type QemuVerdict =
  | {
      readonly works: true;
      /** As the program tells it. */
      readonly version: string;
      readonly acceleration: Acceleration;
      /** How it is told to become another user: by this version's way. */
      readonly userSwitch: UserSwitch;
      /** Absent: it has none that we know, and its own choice works. */
      readonly firmware?: Firmware;
      /** From start to end of the guest, in milliseconds. */
      readonly tookMs: number;
    }
  | {
      readonly works: false;
      readonly version: string;
      readonly acceleration: Acceleration;
      /** A sentence, with the remedy. */
      readonly why: string;
      /** Nothing is known of it: the host had no room to try it. */
      readonly untried?: Fault;
    };

/** The guest says its word after 0.1 s on an idle host; a host that is a hundred times slower is let live. */
const TRIAL_MS = 60_000;
/** `QEMU emulator version 7.2.22 (Debian …)` */
const VERSION = /version (\S+)/;
/** Any but root's that is not a microVM's. */
const NOBODY = 65_534;

/**
 * Starts a QEMU as a microVM's is started and sees that a guest runs in it: its
 * machine, its firmware, its disks, its sandbox, the change of its user. What
 * versions do differently is found so too. Nothing of it stays.
 */
export async function tryQemu(options: TrialOptions): Promise<QemuVerdict> {
  const { binary, accel, run } = options;
  const limits = limitsOf(options);
  let version = '';
  let acceleration: Acceleration = {
    accelerator: accel === 'kvm' ? 'kvm' : 'tcg',
    reason: 'not chosen: QEMU does not work',
    usable: true,
  };
  try {
    const text = await run([binary, '--version'], limits);
    version = VERSION.exec(text)?.[1] ?? text.split('\n')[0]?.slice(0, 80) ?? '';
    acceleration = await chooseAcceleration(accel, options);
    if (!acceleration.usable) {
      const why = `${acceleration.reason}. Use --qemu-accel auto or tcg`;
      return { works: false, version, acceleration, why };
    }
    try {
      return { works: true, version, acceleration, ...(await boot(options, acceleration)) };
    } catch (error) {
      const isItsOwn = error instanceof Fault && error.kind !== 'full';
      if (!isItsOwn || acceleration.accelerator === 'tcg' || accel === 'kvm') throw error;
      const reason = `software emulation, because no guest boots with KVM: ${wordsOf(error, binary)}`;
      acceleration = { accelerator: 'tcg', reason, usable: true };
      return { works: true, version, acceleration, ...(await boot(options, acceleration)) };
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const why = remedy(binary, error);
    return { works: false, version, acceleration, why, ...(error.kind === 'full' && { untried: error }) };
  }
}

const limitsOf = ({ signal = new AbortController().signal }: TrialOptions) => ({ timeoutMs: TRIAL_MS, signal });

type Booted = Pick<Extract<QemuVerdict, { works: true }>, 'userSwitch' | 'firmware' | 'tookMs'>;

/** The ways, the best one first. */
const WAYS: readonly Pick<Machine, 'userSwitch' | 'firmware'>[] = [{ firmware: FIRMWARE } as const, {}].flatMap((how) =>
  USER_SWITCHES.map((userSwitch) => ({ ...how, userSwitch })),
);

/** In the first way that works. */
async function boot(options: TrialOptions, { accelerator }: Acceleration): Promise<Booted> {
  let failure: unknown;
  for (const way of WAYS) {
    const { binary, acpi } = options;
    const started = options.clock.elapsed();
    try {
      await bootWith(options, { binary, accelerator, acpi, ...way });
      return { ...way, tookMs: options.clock.elapsed() - started };
    } catch (error) {
      if (!(error instanceof Fault) || error.kind !== 'tool') throw error;
      // What the program says of what it does not have is not why it fails.
      const isOfTheWay = [`-${way.userSwitch}: `, FIRMWARE].some((word) => error.message.includes(word));
      if (failure === undefined || !isOfTheWay) failure = error;
    }
  }
  throw failure;
}

/** @throws Fault `tool` or `timeout` where the guest does not say its word */
async function bootWith(options: TrialOptions, machine: Machine): Promise<void> {
  const { run, files } = options;
  const limits = limitsOf(options);
  await withScratch(options, limits, async (directory) => {
    const kernel = join(directory, 'kernel');
    const disk = join(directory, 'disk');
    await files.write(kernel, trialKernel());
    await files.write(disk, new Uint8Array(4096));
    const config: VmmConfig = {
      ...{ uid: 'flintlock-trial', runDirectory: directory, stateDirectory: directory, user: NOBODY },
      ...{ vcpu: 1, memoryInMb: 64, kernel, cmdline: '', nics: [] },
      disks: [{ id: 'trial', path: disk, format: 'raw', readOnly: false, isRoot: true }],
    };
    // The guest's reset ends it: the later word counts.
    const argv = [...qemuArgv(config, machine, 'trial'), '-action', 'reboot=shutdown'] as const;
    const [program, ...args] = argv;
    await run([program ?? machine.binary, ...args], limits);
    const console = await files.read(consoleLog(config), { maxBytes: 4096 });
    if (!console || !Buffer.from(console).toString('latin1').includes(TRIAL_WORDS))
      throw new Fault('tool', `${machine.binary} ended in order, but the guest that it ran never said a word`);
  });
}

/** What QEMU, and not setpriv before it, said. */
function wordsOf(error: Fault, binary: string): string {
  if (error.kind === 'timeout') return `${binary} hangs, or this host is far too slow: ${error.message}`;
  const missing = /setpriv: failed to execute \S+: (.*)/.exec(error.message)?.[1];
  if (missing !== undefined) return missing;
  const absent = /: (it is not installed or not in PATH)$/.exec(error.message)?.[1];
  if (absent !== undefined) return absent;
  return oneLine(error.message).replace(/^setpriv failed/, `${binary} failed`);
}

function remedy(binary: string, error: Fault): string {
  const words = wordsOf(error, binary);
  if (error.kind === 'full' || error.kind === 'refused') return `Cannot try ${binary}: ${words}`;
  if (error.kind === 'timeout')
    return `Cannot use QEMU: ${words}. Look at the host's load, or name another with --qemu-bin`;
  if (/^it is not installed or not in PATH$|^No such file or directory$/.test(words)) return unavailable(binary, words);
  return (
    `Cannot use ${binary}: a guest of a few bytes did not run in it with the machine "microvm": ${words}. ` +
    "It needs QEMU 7.2 or later with its firmware (Debian: 'apt-get install qemu-system-x86 qemu-system-data'); name another with --qemu-bin"
  );
}
