import { setTimeout as sleep } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../../src/base/error-text.ts';
import type { MicroVMSpecSchema as DropinSpecSchema } from '../../src/gen/dropin/types/microvm_pb.ts';
import { MicroVMSpecSchema, MicroVMStatus_MicroVMState } from '../../src/gen/types/microvm_pb.ts';
import { poll, type SpecInit, type StateName } from '../support/daemon.ts';
import { patiently } from '../support/patiently.ts';
import { Witness } from '../support/witness.ts';
import { SoakHost, type Usage } from './host.ts';
import { type Known, missingWhenCalm, type Policy, type Shown, wrongAtAnyTime } from './model.ts';
import { stalledReaders } from './stalled.ts';

export interface Plan {
  readonly minutes: number;
  readonly vms: number;
  readonly seed: number;
  /** Of which a stand-in runs the guests; absent: the daemon's default, as it is. */
  readonly provider?: string;
  say(text: string): void;
}

export interface Figures {
  readonly done: Readonly<Record<string, number>>;
  readonly checks: number;
  readonly wrong: readonly string[];
  /** Of Get and List beside everything, in milliseconds. */
  readonly canary: { readonly p50: number; readonly max: number; readonly asked: number };
  readonly before: Usage;
  readonly after: Usage;
}

const POLICIES: readonly Policy[] = ['ON_FAILURE', 'ALWAYS', 'NEVER'];
const STATES = Object.fromEntries(
  Object.entries(MicroVMStatus_MicroVMState).map(([name, number]) => [number, name as StateName]),
);
/** How long a caller tries again where the daemon is away or the disk full. */
const PATIENCE_MS = 120_000;
/** In which everything comes to where it should, undisturbed. */
const CALM_MS = 120_000;
const AT_ONCE = 4;
/** Connections of callers that ask for everything and read nothing. */
const STALLED = 8;
const SETTLE_MS = 20_000;
/** Shorter than any caller's patience. */
const FULL_MS = 4_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/** The same seed asks for the same things; what they meet depends on the machine. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export class Soak {
  readonly #host: SoakHost;
  readonly #plan: Plan;
  readonly #random: () => number;
  readonly #known = new Map<string, Known>();
  /** Ids that something is being asked of. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #done: Record<string, number> = {};
  readonly #wrong: string[] = [];
  readonly #waits: number[] = [];
  #readers: ReturnType<typeof stalledReaders> | undefined;
  #checks = 0;
  #serial = 0;
  /** Addresses given: no two microVMs may have the same, those of the warm-up neither. */
  #macs = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#host = new SoakHost(plan.provider);
    this.#random = randomOf(plan.seed);
  }

  async run(): Promise<Figures> {
    const { minutes, say } = this.#plan;
    const host = this.#host;
    try {
      await host.open();
      await this.#warmUp();
      // Of a stand-in no guest stands behind its socket. What a daemon loads for its first exec is none of its growth.
      const witness = this.#plan.provider === undefined ? await Witness.begin(host.at) : undefined;
      const before = await host.usage();
      this.#readers = stalledReaders(host.at.socket, STALLED);
      const begin = Date.now();
      const end = begin + minutes * 60_000;
      /** From here on one daemon lives to the end: what it holds then is its own growth. */
      const lastCrash = begin + minutes * 60_000 * 0.7;
      let calmAt = begin;
      while (Date.now() < end && this.#wrong.length === 0) {
        await this.#disturb(Date.now() < lastCrash);
        for (let i = 0; i < 8; i++) await this.#ask();
        await this.#look();
        // Often enough that a fault is seen near its cause.
        if (Date.now() - calmAt < 20_000) continue;
        await this.#calm();
        await this.#hear(witness);
        calmAt = Date.now();
        say(`${Math.round((calmAt - begin) / 1_000)} s: ${this.#known.size} microVMs, ${this.#summary()}`);
      }
      await this.#calm();
      await this.#hear(witness);
      await witness?.end();
      await this.#deleteAll();
      this.#count('stalled readers let go', this.#readers.letGo());
      this.#readers.end();
      await host.untilAuditIsClean().catch((error: Error) => this.#wrong.push(error.message));
      const after = await this.#usageWhenSettled(before);
      return {
        done: this.#done,
        checks: this.#checks,
        wrong: this.#wrong,
        canary: {
          p50: this.#waits.toSorted((a, b) => a - b)[this.#waits.length >> 1] ?? 0,
          max: Math.max(0, ...this.#waits),
          asked: this.#waits.length,
        },
        before,
        after,
      };
    } finally {
      this.#readers?.end();
      if (this.#wrong.length > 0) say(`what the daemon said of it:\n${this.#saidOf(this.#wrong)}`);
      await host.close();
    }
  }

  /** What closes by itself is no leak. */
  async #usageWhenSettled(before: Usage): Promise<Usage> {
    const end = Date.now() + SETTLE_MS;
    for (;;) {
      const usage = await this.#host.usage();
      if (usage.fds <= before.fds || Date.now() > end) return usage;
      await sleep(500);
    }
  }

  /** Every line that names a microVM which is wrong, what concerns all, and the last ones. */
  #saidOf(wrong: readonly string[]): string {
    const uids = wrong.flatMap((line) => line.match(/\b[0-9A-HJKMNP-TV-Z]{26}\b/g) ?? []);
    const lines = this.#host.at.log.split('\n');
    const isOfAll = (line: string): boolean => /flintlockd (serves|ends)|could not be stored/.test(line);
    const chosen = lines.filter(
      (line, i) => i > lines.length - 40 || uids.some((uid) => line.includes(uid)) || isOfAll(line),
    );
    return chosen
      .map((line) => line.slice(0, 600))
      .slice(-400)
      .join('\n');
  }

  #summary(): string {
    return Object.entries(this.#done)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ');
  }

  #count(what: string, more = 1): void {
    this.#done[what] = (this.#done[what] ?? 0) + more;
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }

  /** What every daemon does once is behind it, on both sides of the comparison. */
  async #warmUp(): Promise<void> {
    for (let i = 0; i < 2; i++) await this.#create(`warm${i}`, 'ON_FAILURE', this.#host.images.quick);
    await this.#calm();
    await this.#deleteAll();
  }

  /** One thing that befalls the host; what can be undone is undone by `calm`. */
  async #disturb(mayCrash: boolean): Promise<void> {
    const host = this.#host;
    const roll = this.#random();
    if (roll < 0.15 && mayCrash) {
      this.#count('daemon kills');
      await host.crash(() => this.#whileAway());
    } else if (roll < 0.22 && mayCrash) {
      this.#count('daemon restarts');
      await host.restart(() => this.#whileAway());
    } else if (roll < 0.34) {
      this.#count('full disks');
      host.fill(FULL_MS);
    } else if (roll < 0.44) {
      this.#count('clock jumps');
      // Hours and minutes are told apart by what waits for a time of day.
      host.jump(Math.round((this.#random() * 4 - 2) * this.#pick([HOUR_MS, MINUTE_MS])));
    } else if (roll < 0.75) this.#killVmm();
  }

  /** Half of the time guests die while no daemon is there to see it. */
  #whileAway(): void {
    if (this.#random() < 0.5) for (let i = 0; i < 3; i++) this.#killVmm();
  }

  /** Begins one verb on one microVM that nothing else is asked of. */
  async #ask(): Promise<void> {
    while (this.#busy.size >= AT_ONCE) await Promise.race(this.#busy.values());
    const { quick, slow } = this.#host.images;
    const free = [...this.#known.values()].filter(({ id, deleting }) => !deleting && !this.#busy.has(id));
    const living = [...this.#known.values()].filter(({ deleting }) => !deleting).length;
    const roll = this.#random();
    if (free.length === 0 || (roll < 0.45 && living < this.#plan.vms)) {
      const policy = this.#pick(POLICIES);
      const id = `vm${this.#serial++}`;
      this.#begin(id, () => this.#create(id, policy, this.#random() < 0.2 ? slow : quick));
      return;
    }
    const vm = this.#pick(free);
    if (roll < 0.7 || living >= this.#plan.vms) this.#begin(vm.id, () => this.#delete(vm));
    else if (roll < 0.78) this.#begin(vm.id, () => this.#stop(vm));
    else if (roll < 0.88) this.#begin(vm.id, () => this.#start(vm));
    else if (roll < 0.93) this.#begin(vm.id, () => this.#reboot(vm));
    else if (roll < 0.97) this.#begin(vm.id, () => this.#pause(vm));
    else this.#begin(vm.id, () => this.#resume(vm));
    await sleep(Math.round(this.#random() * 150));
  }

  #begin(id: string, act: () => Promise<void>): void {
    const done = act()
      .catch((error: unknown) => void this.#wrong.push(`${id}: ${errorMessage(error)}`))
      .finally(() => this.#busy.delete(id));
    this.#busy.set(id, done);
  }

  async #create(id: string, policy: Policy, image: string): Promise<void> {
    const spec = {
      id,
      vcpu: 1,
      memoryInMb: 32,
      restartPolicy: { ON_FAILURE: 0, ALWAYS: 1, NEVER: 2 }[policy],
      kernel: { image },
      volumes: [{ id: 'root', isRoot: true, source: { containerSource: image } }],
      interfaces: [{ guestDeviceName: 'eth0', type: 1, allowMetadataReq: this.#random() < 0.5 }],
      metadata: { 'user-data': Buffer.from('#cloud-config\n').toString('base64') },
    } as SpecInit;
    // A key, so that it may be sent again when the answer was lost.
    const request = { microvm: create(MicroVMSpecSchema, spec), idempotencyKey: `${id}-${this.#plan.seed}` };
    const uid =
      policy === 'ON_FAILURE' && this.#random() < 0.5
        ? await this.#createByMac(id, image)
        : (await patiently(`create ${id}`, PATIENCE_MS, () => this.#host.at.vms.createMicroVM(request)))?.microvm?.spec
            ?.uid;
    if (uid === undefined) return this.#count('creates refused');
    this.#count('creates');
    this.#known.set(id, {
      ...{ id, uid, policy, kills: 0, mayBePaused: false, deleting: false },
      wanted: new Set(['running']),
    });
  }

  /** As the Cluster API provider: no key, the MAC address in its place; and the answer of one in two is lost. */
  async #createByMac(id: string, image: string): Promise<string | undefined> {
    const serial = (++this.#macs).toString(16).padStart(4, '0');
    const spec: MessageInitShape<typeof DropinSpecSchema> = {
      ...{ id, namespace: 'default', vcpu: 1, memoryInMb: 32, kernel: { image } },
      rootVolume: { id: 'root', source: { containerSource: image } },
      interfaces: [{ deviceId: 'eth0', type: 1, guestMac: `2a:00:00:00:${serial.slice(-4, -2)}:${serial.slice(-2)}` }],
    };
    const ask = async (): Promise<string | undefined> => {
      const answer = await patiently(`create ${id}`, PATIENCE_MS, () =>
        this.#host.at.dropin.createMicroVM({ microvm: spec }),
      );
      return answer?.microvm?.spec?.uid;
    };
    const uid = await ask();
    if (uid === undefined || this.#random() < 0.5) return uid;
    this.#count('answers lost');
    const again = await ask();
    if (again !== uid) this.#wrong.push(`${id}: ${uid} was created, and ${again} when the request came again`);
    return uid;
  }

  async #delete(vm: Known): Promise<void> {
    vm.deleting = true;
    await patiently(`delete ${vm.id}`, PATIENCE_MS, async () => {
      try {
        await this.#host.at.vms.deleteMicroVM({ uid: vm.uid });
      } catch (error) {
        if (ConnectError.from(error).code !== Code.NotFound) throw error; // the lost answer was a yes
      }
      return {};
    });
    this.#count('deletes');
  }

  /** @returns whether it was done, not refused in its state */
  async #verb(
    what: string,
    { id, uid }: Known,
    verb: 'startMicroVM' | 'stopMicroVM' | 'rebootMicroVM' | 'pauseMicroVM' | 'resumeMicroVM',
  ): Promise<boolean> {
    const timeout = {
      seconds: verb === 'startMicroVM' || verb === 'pauseMicroVM' || verb === 'resumeMicroVM' ? 20n : 0n,
    };
    const answer = await patiently(`${verb} ${id}`, PATIENCE_MS, async () => {
      try {
        return await this.#host.at.vms[verb]({ uid, timeout });
      } catch (error) {
        const { code } = ConnectError.from(error);
        // In a state that forbids it, beside another, or it takes longer: whatever comes is judged by the model.
        if ([Code.FailedPrecondition, Code.Aborted, Code.DeadlineExceeded].includes(code)) return undefined;
        throw error;
      }
    });
    this.#count(answer === undefined ? `${what} refused` : what);
    return answer !== undefined;
  }

  async #stop(vm: Known): Promise<void> {
    vm.wanted = new Set(['running', 'stopped']);
    if (await this.#verb('stops', vm, 'stopMicroVM')) vm.wanted = new Set(['stopped']);
  }

  async #start(vm: Known): Promise<void> {
    vm.wanted = new Set(['running', ...vm.wanted]);
    if (await this.#verb('starts', vm, 'startMicroVM')) vm.wanted = new Set(['running']);
  }

  async #reboot(vm: Known): Promise<void> {
    await this.#verb('reboots', vm, 'rebootMicroVM');
  }

  async #pause(vm: Known): Promise<void> {
    vm.mayBePaused = true;
    await this.#verb('pauses', vm, 'pauseMicroVM');
  }

  async #resume(vm: Known): Promise<void> {
    await this.#verb('resumes', vm, 'resumeMicroVM');
  }

  #killVmm(): void {
    const free = [...this.#known.values()]
      .filter(({ id, deleting }) => !deleting && !this.#busy.has(id))
      .flatMap((vm) => this.#host.at.vmms(vm.uid).map((pid) => ({ vm, pid })));
    if (free.length === 0) return;
    const { vm, pid } = this.#pick(free);
    vm.kills++; // before: it may be shown at once
    vm.mayBePaused = true;
    try {
      process.kill(pid, 'SIGKILL');
      this.#count('VMM kills');
    } catch {
      // It has just ended.
    }
  }

  /** Every microVM as it is shown now, against what is known of it. */
  async #look(): Promise<void> {
    for (const vm of this.#known.values()) {
      if (this.#busy.has(vm.id)) continue;
      const shown = await this.#shown(vm);
      if (shown === undefined) continue; // the daemon is away
      // Something may have begun meanwhile.
      if (this.#busy.has(vm.id)) continue;
      this.#checks++;
      const wrong = wrongAtAnyTime(vm, shown);
      if (wrong !== undefined) this.#wrong.push(wrong);
    }
  }

  async #shown(vm: Known): Promise<Shown | undefined> {
    const begin = performance.now();
    const vmms = (): number => this.#host.at.vmms(vm.uid).length;
    try {
      const { microvm } = await this.#host.at.vms.getMicroVM({ uid: vm.uid });
      this.#waits.push(performance.now() - begin);
      const status = microvm?.status;
      return {
        state: STATES[status?.state ?? -1] ?? 'PENDING',
        reason: status?.reason ?? '',
        message: status?.message ?? '',
        willRetry: status?.nextRetryAt !== undefined,
        vmms: vmms(),
      };
    } catch (error) {
      if (ConnectError.from(error).code === Code.NotFound)
        return { state: 'GONE', reason: '', message: '', willRetry: false, vmms: vmms() };
      return undefined;
    }
  }

  /** Undisturbed, everything comes to where it should. */
  async #calm(): Promise<void> {
    this.#host.empty();
    await Promise.all(this.#busy.values());
    await Promise.all([...this.#known.values()].map((vm) => this.#untilAsItShould(vm)));
    this.#count('calms');
  }

  async #untilAsItShould(vm: Known): Promise<void> {
    try {
      await poll(`${vm.id} is as it should be`, CALM_MS, async () => {
        const shown = await this.#shown(vm);
        const missing = shown ? missingWhenCalm(vm, shown) : 'the daemon does not answer';
        if (missing !== undefined) return { not: missing };
        this.#settle(vm, shown);
        return { is: undefined };
      });
      this.#checks++;
    } catch (error) {
      this.#wrong.push(errorMessage(error));
    }
  }

  /** What was open is known now. */
  #settle(vm: Known, shown: Shown | undefined): void {
    if (shown?.state === 'GONE') this.#known.delete(vm.id);
    if (shown?.state === 'STOPPED') vm.wanted = new Set(['stopped']);
    if (shown?.state === 'CREATED' || shown?.state === 'PAUSED') vm.wanted = new Set(['running']);
    if (shown?.state === 'CREATED') vm.mayBePaused = false;
  }

  /** What the guest says that nothing is done to. */
  async #hear(witness: Witness | undefined): Promise<void> {
    const wrong = await witness?.look().catch(errorMessage);
    if (wrong !== undefined) this.#wrong.push(wrong);
    if (witness) this.#count('answers of the witness');
  }

  async #deleteAll(): Promise<void> {
    for (const vm of this.#known.values()) if (!vm.deleting) this.#begin(vm.id, () => this.#delete(vm));
    await Promise.all(this.#busy.values());
    await this.#calm();
  }
}
