import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  type MicroVM,
  MicroVMStatus_MicroVMState,
  NetworkInterfaceSchema,
  PublishedPortSchema,
} from '../../src/gen/types/microvm_pb.ts';
import { poll, ROOT, type SpecInit, type StateName, TestHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';
import { STAND_INS, type StandInHost, standInHost } from '../support/stand-in-providers.ts';
import { Witness } from '../support/witness.ts';
import { idleLayer } from './idle-kernel.ts';
import { compare, type Difference, look, type Seen } from './witness.ts';

const exec = promisify(execFile);

/** By what way its guest gets its metadata: each takes ledger kinds that the other has not. */
export type Variant = 'service' | 'disk';

const ID = 'walked';
const GOLDEN_MB = 16;
const PARENT = 'up0';
const FLAGS = ['--managed-network', '10.77.0.0/24', '--parent-iface', PARENT, '--maximum-retry', '20'];
/** What ends by itself is no leak: a look is repeated for so long. */
const CALM_MS = 6_000;

/**
 * A host for many points, one after the other. Between two of them no daemon
 * runs and there is no microVM; the network and the images stay, unless a
 * point wants them gone.
 */
export class Lab {
  readonly host: TestHost;
  readonly #standIns: StandInHost | undefined;
  readonly #hasMacvtap: boolean;
  /** What a host looks like that nothing went wrong on, by how a scenario ends. */
  readonly #expected: Map<string, Seen>;
  #aliases: Record<string, string> = {};
  #uid: string | undefined;
  #witness: Witness | undefined;
  /** What the program under test has said since it was started. */
  #from = 0;
  #torndown = '';
  /** Of the VMM, before the daemon came back. */
  pids: readonly number[] = [];

  /** @param provider - of which there is a stand-in; absent: the daemon's default, as it is */
  constructor(expected: Map<string, Seen>, provider?: string) {
    this.#expected = expected;
    this.#standIns = provider === undefined ? undefined : standInHost();
    this.#hasMacvtap = STAND_INS.find(({ name }) => name === provider)?.macvtap ?? true;
    const chosen = provider === undefined ? [] : ['--default-provider', provider];
    this.host = new TestHost({
      ...this.#standIns?.options,
      flags: [...FLAGS, ...(this.#standIns?.flags ?? []), ...chosen],
      prepare: async (host) => {
        await this.#standIns?.options.prepare(host);
        await host.tool('ip', 'link', 'add', PARENT, 'type', 'veth', 'peer', 'name', 'wire0');
        await host.tool('ip', 'link', 'set', PARENT, 'up');
      },
    });
  }

  /** Makes the image, and network and image cache as they are between two points. */
  async open(): Promise<void> {
    await writeLayout(join(this.host.images, 'idle'), { v1: { layers: [idleLayer('linux')] } });
    await this.start();
    const { instance } = await this.host.host.serverInfo({});
    // What tries the ways of guests has a hardware address that is made of the instance; see `engine/probe-intent.ts`.
    const bytes = ['02', ...[...Buffer.from(instance)].map((byte) => byte.toString(16).padStart(2, '0')), 'fe'];
    this.#aliases = {
      [instance]: 'INSTANCE',
      [bytes.join(':')]: 'INSTANCE',
      [`0x${bytes.join('').replace(/^0+/, '')}`]: 'INSTANCE',
    };
    await this.create('service');
    await this.untilRunning('service');
    await this.remove();
    await this.host.stop();
  }

  /**
   * Has a guest beside the one that is walked, which nothing is done to, or has none. Of the VMMs that stand-ins are of there is
   * none. No daemon runs, before and after.
   */
  async attend(isWanted: boolean): Promise<void> {
    if (this.#standIns || isWanted === (this.#witness !== undefined)) return;
    await this.start();
    if (isWanted) this.#witness = await Witness.begin(this.host);
    else {
      await this.#witness?.end();
      this.#witness = undefined;
    }
    await this.host.stop();
  }

  /** Whether it is where it was left, as its own agent tells. @returns what is wrong */
  async testimony(): Promise<readonly string[]> {
    const wrong = await this.#witness?.look();
    return wrong === undefined ? [] : [wrong];
  }

  async close(): Promise<void> {
    await this.host.close();
    this.#standIns?.remove();
  }

  get image(): string {
    return `oci:${this.host.images}/idle:v1`;
  }

  /** A daemon as it is in production. */
  async start(): Promise<void> {
    this.host.env = {};
    await this.host.start();
  }

  /** A daemon that breaks. @returns false when it broke before it was ready */
  async startBreaking(rules: string): Promise<boolean> {
    this.host.env = breaking(rules);
    this.#from = this.host.log.length;
    this.#torndown = '';
    try {
      await this.host.start();
      return true;
    } catch (error) {
      if ((await this.host.ended(10_000)) === 'SIGKILL') return false;
      throw error;
    }
  }

  /** What the program that breaks has said. */
  get told(): string {
    return this.host.log.slice(this.#from) + this.#torndown;
  }

  /** What a daemon does after its start beside what it was asked has been told, too. */
  async untilSilent(): Promise<void> {
    await poll('the daemon tells no more', 30_000, async () => {
      const before = this.told.length;
      await new Promise((done) => setTimeout(done, 700));
      return this.told.length === before ? { is: undefined } : { not: this.told.slice(-300) };
    });
  }

  async untilHeld(kind: string): Promise<void> {
    await poll(`${kind} stands still`, 30_000, async () =>
      this.told.includes(`breaks here on purpose kind=${kind}`) ? { is: undefined } : { not: this.told.slice(-500) },
    );
  }

  /** Ends with the daemon of that start, also where it is killed. */
  async trying(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      const isDead = ConnectError.from(error).code !== Code.Unknown || /hang up|ECONN|ENOENT/.test(String(error));
      if (!isDead || (await this.host.ended(10_000)) !== 'SIGKILL') throw error;
    }
  }

  /** @param comesBack - when it dies */
  async create(variant: Variant, comesBack = false): Promise<void> {
    this.#uid = undefined;
    const vm = await this.host.create(this.spec(variant, comesBack));
    this.#uid = vm.spec?.uid;
  }

  spec(variant: Variant, comesBack: boolean): SpecInit {
    const allowMetadataReq = variant === 'service';
    const publishedPorts = allowMetadataReq ? [create(PublishedPortSchema, { hostPort: 8_080, guestPort: 80 })] : [];
    const tap = create(NetworkInterfaceSchema, { guestDeviceName: 'eth0', type: 1, allowMetadataReq, publishedPorts });
    const macvtap = create(NetworkInterfaceSchema, { guestDeviceName: 'eth1', type: 0, allowMetadataReq });
    return {
      id: ID,
      vcpu: 1,
      memoryInMb: 32,
      restartPolicy: comesBack ? 0 : 2,
      kernel: { image: this.image },
      volumes: [{ id: 'root', isRoot: true, sizeInMb: GOLDEN_MB, source: { containerSource: this.image } }],
      metadata: { 'user-data': Buffer.from('#cloud-config\n').toString('base64') },
      interfaces: this.#hasMacvtap ? [tap, macvtap] : [tap],
    };
  }

  /** The microVM of this point, if there is one. @throws when there are two */
  async find(): Promise<MicroVM | undefined> {
    const { microvm } = await this.host.vms.listMicroVMs({});
    const [walked, ...others] = microvm.filter(({ spec }) => spec?.uid !== this.#witness?.uid);
    if (others.length > 0) throw new Error(`there are ${others.length} microVMs more: the create was done twice`);
    return walked;
  }

  /** Waits for what a create promises; one that was not acknowledged is asked for again, as a client would. */
  async untilRunning(variant: Variant): Promise<string> {
    const uid = (await this.find())?.spec?.uid;
    if (uid === undefined && this.#uid !== undefined) throw new Error('LOST: the create was acknowledged');
    if (uid !== undefined && this.#uid !== undefined && uid !== this.#uid) throw new Error(`LOST: ${this.#uid}`);
    if (uid === undefined) {
      await this.create(variant);
      return this.untilRunning(variant);
    }
    const vm = await this.untilState(uid, 'CREATED');
    this.#knowAs(vm);
    return uid;
  }

  /** CREATED or FAILED, and looks at the reason for anything else. */
  async untilState(uid: string, state: StateName): Promise<MicroVM> {
    const wanted = MicroVMStatus_MicroVMState[state];
    return poll(`the microVM is ${state}`, 60_000, async () => {
      const vm = await this.host.get(uid);
      return vm.status?.state === wanted
        ? { is: vm }
        : { not: `${vm.status?.state} ${vm.status?.reason}: ${vm.status?.message}` };
    });
  }

  #knowAs(vm: MicroVM): void {
    const uid = vm.spec?.uid ?? '';
    this.#aliases = {
      ...Object.fromEntries(Object.entries(this.#aliases).filter(([, to]) => to === 'INSTANCE')),
      [uid]: 'UID',
      [uid.slice(-6).toLowerCase()]: 'TAIL',
      ...Object.fromEntries(
        Object.entries(vm.status?.networkInterfaces ?? {}).flatMap(([name, { guestMac }]) => [
          [guestMac, `MAC-${name}`],
          // As the firewall shows what it compares a message's bytes with.
          [`0x${guestMac.replaceAll(':', '').replace(/^0+/, '')}`, `MAC-${name}`],
        ]),
      ),
    };
  }

  /** Deletes it if it is there, and waits until it is gone. */
  async remove(): Promise<void> {
    const uid = (await this.find())?.spec?.uid;
    if (uid === undefined) return;
    try {
      await this.host.vms.deleteMicroVM({ uid });
    } catch (error) {
      if (ConnectError.from(error).code !== Code.NotFound) throw error; // an earlier delete has ended just now
    }
    await this.host.untilGone(uid);
  }

  async pull(): Promise<void> {
    for await (const _ of this.host.imageService.pullImage({ reference: this.image, goldenSizeInMb: GOLDEN_MB }));
  }

  async prune(): Promise<void> {
    await this.host.imageService.pruneImages({});
  }

  /** `flintlockd teardown`. @returns its exit status, or the signal that ended it */
  async tearDown(rules?: string): Promise<number | string> {
    const { inside, state, run } = this.host;
    const argv = [...inside, join(ROOT, 'bin/flintlockd'), 'teardown', '--state-dir', state, '--run-dir', run];
    if (rules !== undefined) {
      this.#from = this.host.log.length;
      this.#torndown = '';
    }
    const env = { ...process.env, ...(rules !== undefined && breaking(rules)) };
    try {
      const { stderr } = await exec('nsenter', argv, { timeout: 60_000, env });
      this.#torndown += stderr;
      return 0;
    } catch (error) {
      const { code, signal, stderr = '' } = error as { code?: number; signal?: string; stderr?: string };
      this.#torndown += stderr;
      return signal ?? code ?? -1;
    }
  }

  /** Where no microVM is left the cgroups of them all are there only while the other guest is. */
  #key(end: string): string {
    return end === 'gone' && this.#witness ? 'gone, beside another' : end;
  }

  /** Remembers how the host looks when nothing went wrong. */
  async remember(end: string): Promise<void> {
    // Twice the same: no tool is in the midst of something.
    const seen = await poll('the host is calm', 10_000, async () => {
      const first = await this.#look();
      const second = await this.#look();
      return first.join('\n') === second.join('\n') ? { is: second } : { not: 'it changes' };
    });
    this.#expected.set(this.#key(end), seen);
  }

  #look(): Promise<Seen> {
    return look(this.host, this.#aliases, this.#witness?.uid);
  }

  /** Compares, until it is as it should be, or stays different. */
  async differenceTo(end: string): Promise<Difference> {
    const expected = this.#expected.get(this.#key(end));
    if (!expected) throw new Error(`nobody knows how "${end}" looks`);
    for (const until = Date.now() + CALM_MS; ; await new Promise((done) => setTimeout(done, 150))) {
      const difference = compare(expected, await this.#look());
      if (Object.values(difference).every((lines) => lines.length === 0) || Date.now() > until) return difference;
    }
  }
}

const breaking = (rules: string): Record<string, string> => ({
  FLINTLOCK_TEST_FAULT: rules,
  FLINTLOCK_TEST_FAULTS: 'allow',
});
