/** Runs a command on a nested host that has KVM. See --help. */
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { files } from '../../src/host/files.ts';
import { hostTscKhz } from '../../src/vmm/qemu/accel.ts';
import { type Ended, runHost } from './host.ts';
import { writeJob } from './job.ts';
import { writeKernel } from './kernel.ts';
import { HELP, type LabOptions, parseLab, Usage } from './options.ts';
import { QEMU } from './qemu.ts';

const PREPARED = join(import.meta.dirname, '../../.cache/lab');
const PATIENCE = Math.min(Math.max(Number(process.env.FLINTLOCK_PATIENCE) || 1, 1), 100);

const LATE = 124;
const FAILED = 125;
const USAGE = 2;
/** It takes 5 s on an idle machine, and 40 on a busy one. */
const BOOT_MS = 180_000 * PATIENCE;
const OFF_MS = 60_000 * PATIENCE;
/** What the command's own limits of time are multiplied by: software emulation costs more, and not all of it is waited for. */
const SLOWER = 4;
/** A panic of the nested host is bad luck once, and no luck twice. */
const TRIES = 2;

const say = (text: string): void => void process.stderr.write(`lab: ${text}\n`);

/** What is missing, in a sentence. */
function obstacle(): string | undefined {
  if (!existsSync(QEMU)) return `there is no ${QEMU}: install qemu-system-x86`;
  if (!existsSync(join(PREPARED, 'stamp')))
    return `there is no kernel for it in ${PREPARED}: run npm run lab, which fetches it`;
  return undefined;
}

/**
 * Where what a nested host boots is: prepared, or made now of the package that is named.
 * @throws Usage where it is none
 */
function preparedOf({ kernel }: Pick<LabOptions, 'kernel'>): string {
  if (kernel === undefined) return PREPARED;
  if (!existsSync(kernel)) throw new Usage(`--kernel: there is no ${kernel}`);
  const { size, mtimeMs } = statSync(kernel);
  const made = join(`${PREPARED}-kernels`, `${basename(kernel)}-${size}-${Math.trunc(mtimeMs)}`);
  if (existsSync(made)) return made;
  say(`unpacking ${kernel}`);
  mkdirSync(dirname(made), { recursive: true });
  const scratch = mkdtempSync(join(dirname(made), '.partial-'));
  try {
    writeKernel(kernel, join(scratch, 'made'), scratch);
    renameSync(join(scratch, 'made'), made);
    return made;
  } catch (cause) {
    throw new Usage(`--kernel: ${cause instanceof Error ? cause.message : String(cause)}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Makes the shared directory, where there is none. @throws Usage where nothing can be written to it */
function openOut(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
    accessSync(directory, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new Usage(`--out: cannot write to ${directory}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

async function once(options: LabOptions, prepared: string, signal: AbortSignal): Promise<Ended> {
  const directory = mkdtempSync(join(tmpdir(), 'lab-'));
  try {
    const { command, out, memoryMb, cpus } = options;
    const env = { ...process.env, FLINTLOCK_PATIENCE: String(PATIENCE * SLOWER) };
    const initrd = writeJob({ command, cwd: process.cwd(), env, out }, prepared, directory);
    const kernel = join(prepared, 'vmlinuz');
    const { stdout, stderr } = process;
    const console = options.showConsole ? stderr : undefined;
    const tscKhz = await hostTscKhz(files);
    const machine = { qemu: QEMU, kernel, initrd, memoryMb, cpus, tscKhz, out, directory };
    return await runHost(machine, { stdout, stderr, console }, { signal, bootMs: BOOT_MS, offMs: OFF_MS });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const options = parseLab(process.argv.slice(2), PATIENCE);
  if (options === undefined) {
    process.stdout.write(HELP);
    return 0;
  }
  const missing = obstacle();
  if (missing !== undefined) {
    say(missing);
    return FAILED;
  }
  if (options.out !== undefined) openOut(options.out);
  const prepared = preparedOf(options);
  const signal = AbortSignal.timeout(options.timeoutMs);
  for (let attempt = 1; ; attempt++) {
    const ended = await once(options, prepared, signal);
    if (ended.kind === 'status') return ended.status;
    if (ended.kind === 'aborted') {
      say(`ended at the time limit of ${Math.round(options.timeoutMs / 1_000)} seconds`);
      return LATE;
    }
    say(`the nested host failed, not the command: ${ended.why}`);
    if (attempt === TRIES) return FAILED;
    say('all of it once more, from the beginning');
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof Usage)) throw error;
  say(`${error.message}\nTry --help.`);
  process.exitCode = USAGE;
}
