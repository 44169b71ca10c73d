import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { TestContext } from 'vitest';
import { MicroVM as DropinService } from '../../src/gen/dropin/services/microvms_pb.ts';
import { HostService } from '../../src/gen/flintlock/microvm/v1/host_pb.ts';
import { ImageService } from '../../src/gen/flintlock/microvm/v1/images_pb.ts';
import { MicroVMService } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import {
  type MicroVM,
  MicroVMSpecSchema,
  type MicroVMStatus,
  MicroVMStatus_MicroVMState,
} from '../../src/gen/types/microvm_pb.ts';
import { processesIn, removeCgroups } from './cgroups.ts';
import { isProof } from './proofs.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
export const DEMO = `${ROOT}/.cache/images/demo`;
export const KERNEL = `oci:${DEMO}:kernel`;
export const DEMO_ROOT = `oci:${DEMO}:root`;
const SMALL = `${ROOT}/.cache/images/kernel`;
/**
 * Of guests whose kernel is nobody's concern: the small one starts in half of the processor's time that Debian's takes, where it is
 * made. `npm run proofs` has Debian's.
 */
export const ANY_KERNEL = !isProof && existsSync(`${SMALL}/index.json`) ? `oci:${SMALL}:latest` : KERNEL;

export type SpecInit = MessageInitShape<typeof MicroVMSpecSchema>;
export type StateName = keyof typeof MicroVMStatus_MicroVMState;

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

const exec = promisify(execFile);

export interface HostOptions {
  /** Further flags of `flintlockd run`. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** It has a mount namespace of its own. */
  readonly ownMounts?: true;
  /** Goes before the daemon's first start, in the namespaces. */
  readonly prepare?: (host: TestHost) => Promise<void>;
}

/**
 * A daemon in a network namespace and directories of its own. Whatever the
 * test does, at its end every process is gone that names the scratch
 * directory, with it the namespace, and the directory.
 */
export class TestHost {
  readonly directory: string;
  readonly vms: Client<typeof MicroVMService>;
  /** The API of flintlock in Go. */
  readonly dropin: Client<typeof DropinService>;
  readonly host: Client<typeof HostService>;
  /** Its answers, not its directory: see `images`. */
  readonly imageService: Client<typeof ImageService>;
  readonly #options: HostOptions;
  /** Of the next starts, beside what the options say. */
  env: Readonly<Record<string, string>> = {};
  #holder: ChildProcess | undefined;
  #daemon: ChildProcess | undefined;
  #log = '';
  /** How often the host was booted anew. */
  #boots = 0;

  constructor(options: HostOptions) {
    this.#options = options;
    this.directory = mkdtempSync('/tmp/flt-');
    const transport = createGrpcTransport({
      baseUrl: 'http://localhost',
      nodeOptions: { createConnection: () => connect(this.socket) },
    });
    this.vms = createClient(MicroVMService, transport);
    this.dropin = createClient(DropinService, transport);
    this.host = createClient(HostService, transport);
    this.imageService = createClient(ImageService, transport);
  }

  get state(): string {
    return join(this.directory, 'state');
  }
  get run(): string {
    return join(this.directory, 'run');
  }
  get socket(): string {
    return join(this.run, 'api.sock');
  }
  get images(): string {
    return join(this.directory, 'images');
  }
  get log(): string {
    return this.#log;
  }
  get pid(): number {
    return this.#daemon?.pid ?? -1;
  }

  /** The arguments that every start uses. */
  get flags(): readonly string[] {
    return [
      ...['--state-dir', this.state, '--run-dir', this.run],
      ...['--image-root', `${ROOT}/.cache/images`, '--image-root', this.images],
      ...['--grpc-endpoint', `unix://${this.socket}`],
      ...(this.#options.flags ?? ['--managed-network', '10.77.0.0/24']),
    ];
  }

  /** Makes the network namespace, and holds it while daemons come and go in it. */
  async hold(): Promise<void> {
    if (this.#holder) return;
    const script = `${this.#boots > 0 ? `mount --bind ${this.#bootId} ${BOOT_ID} && ` : ''}ip link set lo up && echo up && exec sleep infinity`;
    this.#holder = spawn('unshare', [...this.#namespaces, '--', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await firstOutput(this.#holder);
    await this.#options.prepare?.(this);
  }

  /** @param flags - further flags of this start */
  async start(...flags: readonly string[]): Promise<void> {
    await this.hold();
    const daemon = spawn('nsenter', [...this.inside, `${ROOT}/bin/flintlockd`, 'run', ...this.flags, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // What is tried comes and goes by itself: a test that compares the host says when.
      env: {
        ...process.env,
        FLINTLOCKD_PATIENCE: String(PATIENCE),
        FLINTLOCKD_NETWORK_PROBE_PERIOD: '0',
        ...this.#options.env,
        ...this.env,
      },
    });
    this.#daemon = daemon;
    daemon.stderr?.on('data', (data: Buffer) => {
      this.#log += data.toString();
    });
    const line = await firstOutput(daemon).catch(() => '');
    if (!line.startsWith('flintlockd ready')) throw new Error(`flintlockd did not start: ${line}\n${this.#log}`);
  }

  /** The arguments of nsenter(1). */
  get inside(): readonly string[] {
    const pid = this.#holder?.pid;
    return [`--net=/proc/${pid}/ns/net`, ...(this.#ownMounts ? [`--mount=/proc/${pid}/ns/mnt`] : []), '--'];
  }

  get #namespaces(): readonly string[] {
    return this.#ownMounts ? ['--net', '--mount'] : ['--net'];
  }

  get #ownMounts(): boolean {
    return this.#boots > 0 || this.#options.ownMounts === true;
  }

  get #bootId(): string {
    return join(this.directory, 'boot_id');
  }

  /**
   * What a boot of the host leaves: the state directory and images, and another boot id. Every process is killed, and
   * network and run-time directory are gone. The caller starts the daemon.
   */
  async boot(): Promise<void> {
    await this.kill9();
    await this.#killAll();
    const holder = this.#holder;
    const gone = new Promise((done) => holder?.once('exit', done));
    holder?.kill('SIGKILL');
    await gone;
    this.#holder = undefined;
    rmSync(this.run, { recursive: true, force: true });
    this.#boots++;
    writeFileSync(this.#bootId, `00000000-0000-4000-8000-00000000000${this.#boots}\n`);
  }

  /** Runs a tool in the daemon's network namespace. */
  async tool(program: string, ...args: readonly string[]): Promise<string> {
    return (await exec('nsenter', [...this.inside, program, ...args], { timeout: 60_000 })).stdout;
  }

  /** Runs a program there to its end, whatever that is. */
  async tryInside(...argv: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    try {
      const { stdout } = await exec('nsenter', [...this.inside, ...argv], { timeout: 60_000 });
      return { code: 0, stdout, stderr: '' };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
      return { code: code ?? -1, stdout: stdout ?? '', stderr: stderr ?? '' };
    }
  }

  /** Starts a program there; the caller ends it. */
  spawnInside(...argv: readonly string[]): ChildProcess {
    return spawn('nsenter', [...this.inside, ...argv], { stdio: 'ignore' });
  }

  async untilBound(udpPort: number): Promise<void> {
    await poll(`port ${udpPort} is bound`, 10_000, async () => {
      const sockets = await this.tool('cat', '/proc/net/udp', '/proc/net/udp6');
      const hex = udpPort.toString(16).toUpperCase().padStart(4, '0');
      return sockets.includes(`:${hex} `) ? { is: undefined } : { not: sockets };
    });
  }

  /** Asks the HTTP surface, for which the flags must name `unix://…/http.sock` in the run directory. */
  async http(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
    return new Promise((done, fail) => {
      const headers = { 'content-type': 'application/json' };
      const asked = request({ socketPath: join(this.run, 'http.sock'), method, path, headers }, (answer) => {
        let text = '';
        answer.on('data', (data: Buffer) => {
          text += data.toString();
        });
        answer.on('end', () => done({ status: answer.statusCode ?? 0, text }));
      });
      asked.on('error', fail);
      asked.end(body);
    });
  }

  async untilReason(uid: string, reason: string): Promise<MicroVMStatus> {
    return poll(`${uid} has reason ${reason}`, 30_000, async () => {
      const { status } = await this.get(uid);
      return status?.reason === reason ? { is: status } : { not: `${status?.reason}: ${status?.message}` };
    });
  }

  /** Resolves once the daemon has ended of itself. @returns the signal that ended it */
  async ended(timeoutMs: number): Promise<NodeJS.Signals | null> {
    return poll('the daemon has ended', timeoutMs, async () => {
      const daemon = this.#daemon;
      const isOver = !daemon || daemon.exitCode !== null || daemon.signalCode !== null;
      return isOver ? { is: daemon?.signalCode ?? null } : { not: this.#log.slice(-1_000) };
    });
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** @returns the exit code */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const daemon = this.#daemon;
    if (!daemon || daemon.exitCode !== null || daemon.signalCode !== null) return daemon?.exitCode ?? null;
    const ended = new Promise<number | null>((done) => daemon.once('exit', done));
    daemon.kill(signal);
    return ended;
  }

  async create(spec: SpecInit): Promise<MicroVM> {
    const { microvm } = await this.vms.createMicroVM({ microvm: create(MicroVMSpecSchema, spec) });
    if (!microvm?.spec || !microvm.status) throw new Error('the answer has no microvm');
    return microvm;
  }

  async get(uid: string): Promise<MicroVM> {
    const { microvm } = await this.vms.getMicroVM({ uid, showDeleted: true });
    if (!microvm) throw new Error('the answer has no microvm');
    return microvm;
  }

  /** Waits until a microVM is in a state. */
  async until(uid: string, state: StateName, timeoutMs = 60_000): Promise<MicroVM> {
    return poll(`${uid} is ${state}`, timeoutMs, async () => {
      const vm = await this.get(uid);
      if (vm.status?.state === MicroVMStatus_MicroVMState[state]) return { is: vm };
      return {
        not: `${stateName(vm)} ${vm.status?.reason}: ${vm.status?.message}`,
      };
    });
  }

  /** Waits until nothing is left of a microVM. */
  async untilGone(uid: string, timeoutMs = 60_000): Promise<void> {
    await poll(`${uid} is gone`, timeoutMs, async () => {
      try {
        const { microvm } = await this.vms.getMicroVM({ uid });
        return { not: `${microvm?.status?.reason}: ${microvm?.status?.message}` };
      } catch (error) {
        if (ConnectError.from(error).code === Code.NotFound) return { is: true };
        throw error;
      }
    });
  }

  async console(uid: string): Promise<string> {
    let text = '';
    for await (const { data } of this.vms.readConsole({ uid })) text += Buffer.from(data).toString();
    return text;
  }

  /** Waits until the console shows a text. @returns the line that has it */
  async untilConsole(uid: string, pattern: RegExp, timeoutMs = 90_000): Promise<string> {
    return poll(`the console of ${uid} shows ${pattern}`, timeoutMs, async () => {
      const text = await this.console(uid);
      const line = text.split(/\r?\n/).find((l) => pattern.test(l));
      if (line !== undefined) return { is: line };
      const { status } = await this.get(uid);
      const now = `${status?.reason}: ${status?.message}\n${text.slice(-800)}`;
      if (status?.state === MicroVMStatus_MicroVMState.FAILED) throw new Error(`${uid} is FAILED: ${now}`);
      return { not: now };
    });
  }

  /** Types a line on the guest's console, and stays until what comes of it is there. */
  async type<T>(uid: string, line: string, until: Promise<T>): Promise<T> {
    const enough = new AbortController();
    async function* typed() {
      yield { uid, tailBytes: 1n };
      yield { data: new TextEncoder().encode(`${line}\n`) };
      await once(enough.signal, 'abort');
    }
    const attached = (async () => {
      for await (const _ of this.vms.attachConsole(typed(), { signal: enough.signal }));
    })().catch(() => undefined); // it ends by our own hand, or with the guest
    try {
      return await until;
    } finally {
      enough.abort();
      await attached;
    }
  }

  /** What the audit finds wrong. */
  async audit(fix = false): Promise<{ leaked: string[]; missing: string[]; fixed: string[] }> {
    const answer = await this.host.audit({ fix });
    const names = (items: readonly { kind: string; name: string }[]): string[] =>
      items.map((i) => `${i.kind} ${i.name}`);
    return { leaked: names(answer.leaked), missing: names(answer.missing), fixed: names(answer.fixed) };
  }

  /** Command lines of living processes that name the scratch directory or are limited by us, beside the daemon's own. */
  processes(): { pid: number; argv: string[] }[] {
    const limited = processesIn(this.state);
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        try {
          const argv = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').slice(0, -1);
          return [{ pid: Number(name), argv }];
        } catch {
          return []; // ended meanwhile
        }
      })
      .filter(
        ({ pid, argv }) =>
          pid !== this.#daemon?.pid &&
          (limited.has(pid) || argv.some((word) => word.includes(this.directory)) || this.#isIn(pid)),
      );
  }

  /** Whether the daemon that runs has started it, itself or by what it keeps for that. */
  isBelowDaemon(pid: number): boolean {
    try {
      for (let at = pid; at > 1; ) {
        const stat = readFileSync(`/proc/${at}/stat`, 'latin1');
        at = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        if (at === this.#daemon?.pid) return true;
      }
      return false;
    } catch {
      return false; // ended meanwhile
    }
  }

  /** A VMM that is told nothing by its path works in its own directory; in a jail it has its console open there. */
  #isIn(pid: number): boolean {
    try {
      const links = ['cwd', 'fd/1'].map((name) => readlinkSync(`/proc/${pid}/${name}`));
      return links.some((link) => link.startsWith(`${this.directory}/`));
    } catch {
      return false; // it is ended, or the kernel's
    }
  }

  /**
   * The one VMM of a microVM.
   * @throws Error where there is none, or several: a number that stands for nobody stands for everybody in kill(2)
   */
  vmm(uid: string): number {
    const [pid, ...others] = this.vmms(uid);
    if (pid === undefined || others.length > 0) throw new Error(`${uid} has ${this.vmms(uid).length} VMMs`);
    return pid;
  }

  vmms(uid: string): number[] {
    return this.processes()
      .filter(
        ({ argv }) =>
          argv.some((word) => word.includes(uid)) &&
          argv.some((word) => /qemu|firecracker|cloud-?hypervisor/.test(word)),
      )
      .map(({ pid }) => pid);
  }

  async close(): Promise<void> {
    await this.kill9();
    await this.#killAll();
    this.#holder?.kill('SIGKILL');
    await removeCgroups(this.state);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #killAll(): Promise<void> {
    await poll('every process of the test is gone', 20_000, async () => {
      const left = this.processes();
      for (const { pid } of left) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // ended meanwhile
        }
      }
      return left.length === 0 ? { is: true } : { not: left.map((p) => p.argv.join(' ')).join('\n') };
    });
  }
}

const stateName = (vm: MicroVM): string =>
  Object.entries(MicroVMStatus_MicroVMState).find(([, number]) => number === vm.status?.state)?.[0] ?? '?';

/** A daemon that runs, and ends with the test. */
export async function startHost(
  context: Pick<TestContext, 'onTestFinished'>,
  options: HostOptions = {},
): Promise<TestHost> {
  const host = new TestHost(options);
  context.onTestFinished(() => host.close());
  await host.start();
  return host;
}

/** What was waited for has not come in time. */
export class TooLate extends Error {}

/** As in scripts/steps.mjs: what limits of time are multiplied by, on a slow machine. */
export const PATIENCE = Math.min(Math.max(Number(process.env.FLINTLOCK_PATIENCE) || 1, 1), 100);

/** Nothing hangs so seldom that a shorter wait is worth a test that fails on a busy machine. */
const LEAST_MS = 150_000;

/** Looks again and again, every 20 ms at first and slower later, until it is so or the time is up. */
export async function poll<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<{ readonly is: T } | { readonly not: string }>,
): Promise<T> {
  const patientMs = Math.max(timeoutMs, LEAST_MS) * PATIENCE;
  const end = Date.now() + patientMs;
  for (let pause = 20; ; pause = Math.min(250, pause * 1.3)) {
    const found = await look();
    if ('is' in found) return found.is;
    if (Date.now() > end) throw new TooLate(`After ${patientMs} ms it is not so that ${what}: ${found.not}`);
    await sleep(pause);
  }
}

async function firstOutput(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    child.stdout?.once('data', (data: Buffer) => done(data.toString()));
    child.once('exit', (code) => fail(new Error(`ended with ${code}`)));
    child.once('error', fail);
  });
}

/** A small guest of the demo images. */
export function demoSpec(id: string, change: Partial<SpecInit> = {}): SpecInit {
  return {
    id,
    vcpu: 1,
    memoryInMb: 96,
    kernel: { image: ANY_KERNEL, cmdline: 'quiet' },
    // Each kernel's own has the modules that it needs.
    initrd: { image: [undefined, ANY_KERNEL].includes(change.kernel?.image) ? ANY_KERNEL : KERNEL },
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: DEMO_ROOT } }],
    interfaces: [{ guestDeviceName: 'eth0', type: 1 }],
    ...change,
  } as SpecInit;
}
