import { existsSync, lstatSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import type { ProviderFeatures } from '../../src/gen/flintlock/microvm/v1/host_pb.ts';
import { WaitMicroVMRequest_Until } from '../../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { type MicroVM, MicroVMStatus_MicroVMState } from '../../src/gen/types/microvm_pb.ts';
import { poll, ROOT, TestHost } from '../support/daemon.ts';
import { STAND_INS, type StandInHost, standInHost } from '../support/stand-in-providers.ts';
import { type Images, REGISTRY } from './images.ts';
import { Usage } from './options.ts';
import { heardOn, type Report } from './report.ts';
import type { SpecFields } from './specs.ts';

export const NETWORK = '10.77.0.0/24';
export const GATEWAY = '10.77.0.1';
/** The interface that MACVTAP guests are on. */
export const PARENT = 'up0';
/** Somebody else's machine on the parent's network, which gives addresses there. */
export const PEER = '192.0.2.1';

/** An interface of the host as `ip -j -d link` shows it. */
export interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address: string;
  readonly master?: string;
  readonly link?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: { readonly type?: string; readonly mode?: string };
  };
}

/** What the host's own tools say. */
export interface HostFacts {
  readonly links: readonly Link[];
  /** What lies where the status says that something is: `file`, `block`, `nothing`, … by path. */
  readonly at: Readonly<Record<string, string>>;
}

/** A machine with a namespace of its own, found and ended by the directory in its arguments. */
async function plugPeer(host: TestHost): Promise<void> {
  const script = `echo >"$0/peer"
    until ip link set eth0 up 2>/dev/null; do sleep 0.1; done
    ip address add ${PEER}/24 dev eth0
    exec dnsmasq --conf-file=/dev/null --keep-in-foreground --user=root --port=0 --interface=eth0 --bind-interfaces \
      --dhcp-range=192.0.2.100,192.0.2.150,1h --dhcp-authoritative --no-ping --leasefile-ro --pid-file="$0/peer.pid"`;
  const { pid } = host.spawnInside('unshare', '--net', 'sh', '-c', script, host.directory);
  await poll('the peer is there', 20_000, async () =>
    existsSync(join(host.directory, 'peer')) ? { is: true } : { not: 'not yet' },
  );
  await host.tool('ip', 'link', 'add', PARENT, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid));
  await host.tool('ip', 'link', 'set', PARENT, 'up');
}

/** A report that has begun is written without a pause. */
const STALL_MS = 20_000;
/** For one call of a guest's agent. */
const AGENT_MS = 60_000;
/** How long what a guest has written may take to be shown. */
const CONFIGURED_S = 30n;
const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** How long a guest may take to its report, on a busy machine without KVM. */
const REPORT_MS = 300_000;
/** The same of a guest that takes far longer than others. Seen: 20 s of a guest's clock in five minutes, beside 40 busy programs. */
const SLOW_REPORT_MS = 1_200_000;

/** A daemon in a network of its own, and everything that the suite asks it or its guests: by the public API alone. */
export class Lab {
  readonly #host: TestHost;
  readonly #provider: string;
  readonly #standIns: StandInHost | undefined;
  #features: ProviderFeatures | undefined;

  /**
   * @param provider - for every spec; empty: the daemon's default
   * @param hasParent - whether the daemon is given one
   */
  constructor(images: Images, provider: string, hasParent = true) {
    this.#provider = provider;
    const program = process.env[`FLINTLOCK_TEST_${provider.toUpperCase()}`] ?? '';
    const isStoodInFor = program === '' && STAND_INS.some(({ name }) => name === provider);
    this.#standIns = isStoodInFor ? standInHost() : undefined;
    this.#host = new TestHost({
      ...this.#standIns?.options,
      flags: [
        ...(this.#standIns?.flags ?? (program === '' ? [] : [`--${provider}-bin`, program])),
        ...['--managed-network', NETWORK],
        ...(hasParent ? ['--parent-iface', PARENT] : []),
        ...['--image-root', `${ROOT}/.cache/images`, '--image-root', images.directory],
        ...['--insecure-registry', REGISTRY],
      ],
      prepare: async (host) => {
        await this.#standIns?.options.prepare(host);
        await plugPeer(host);
        host.spawnInside(
          ...[process.execPath, join(ROOT, 'test/stand-ins/registry.ts')],
          ...[join(images.directory, 'kernels'), REGISTRY.split(':')[1] ?? ''],
          host.directory, // by which it is found and ended
        );
        const url = `http://${REGISTRY}/v2/`;
        const ask = `fetch('${url}').then(() => process.exit(0), () => process.exit(1))`;
        await poll('the registry answers', 20_000, async () => {
          const { code, stderr } = await host.tryInside(process.execPath, '-e', ask);
          return code === 0 ? { is: true } : { not: stderr };
        });
      },
    });
  }

  /** What the daemon says of the provider that is tried. */
  get features(): ProviderFeatures {
    if (!this.#features) throw new Error('the daemon does not say what the provider can do');
    return this.#features;
  }

  async start(): Promise<void> {
    await this.#host.start();
    const { providers, defaultProvider } = await this.#host.host.serverInfo({});
    const name = this.#provider;
    this.#features = providers.find((provider) => provider.name === (name || defaultProvider))?.features;
    const found = providers.find((provider) => provider.name === name);
    if (name !== '' && !found?.available)
      throw new Usage(
        found
          ? `Provider ${name} cannot be used here: ${found.unavailableReason}`
          : `There is no provider ${name}: give one of ${providers.map((provider) => provider.name).join(', ')}`,
      );
  }

  async restart(): Promise<void> {
    await this.#host.stop();
    await this.#host.start();
  }

  async close(): Promise<void> {
    await this.#host.close();
    this.#standIns?.remove();
  }

  /** Whether there is no guest in its microVMs. */
  get isByStandIn(): boolean {
    return this.#standIns !== undefined;
  }

  /** What a stand-in was told of a machine, once it has begun: a line each. */
  async told(uid: string): Promise<readonly string[]> {
    const lines = async (): Promise<readonly string[]> => (await this.#host.console(uid)).split(/[\r\n]+/);
    await poll(`the VMM of ${uid} was told of its machine`, REPORT_MS, async () => {
      const said = await lines();
      if (said.some((line) => line.startsWith('stand-in: up'))) return { is: undefined };
      const { status } = await this.get(uid);
      return { not: `${status?.reason}: ${status?.message}` };
    });
    await this.#host.until(uid, 'CREATED');
    return (await lines()).filter((line) => line !== '');
  }

  get log(): string {
    return this.#host.log;
  }

  create(spec: SpecFields): Promise<MicroVM> {
    return this.#host.create({ provider: this.#provider, ...spec });
  }

  get(uid: string): Promise<MicroVM> {
    return this.#host.get(uid);
  }

  console(uid: string): Promise<string> {
    return this.#host.console(uid);
  }

  /** What asks the agent of a guest, which answers. */
  async agent(uid: string): Promise<Client<typeof GuestService>> {
    await this.#wait(uid, WaitMicroVMRequest_Until.AGENT);
    const nodeOptions = { createConnection: () => connect(this.#host.socket) };
    const transport = createGrpcTransport({ baseUrl: 'http://localhost', nodeOptions, defaultTimeoutMs: AGENT_MS });
    return createClient(GuestService, transport);
  }

  /** Asks from the host's side. @returns the answer's body, or what went wrong */
  async fetch(url: string): Promise<string> {
    const ask = `fetch('${url}', { signal: AbortSignal.timeout(30000) }).then((a) => a.text()).then(console.log, console.log)`;
    return (await this.#host.tool(process.execPath, '-e', ask)).trim();
  }

  async select(labelSelector: string): Promise<readonly MicroVM[]> {
    return (await this.#host.vms.listMicroVMs({ labelSelector })).microvm;
  }

  /** Waits until `GuestConfigured` is True or cannot be, of a guest that has reported. @returns what it is then */
  async configured(uid: string): Promise<string> {
    await this.#wait(uid, WaitMicroVMRequest_Until.CONFIGURED);
    return configuredOf(await this.get(uid));
  }

  /** The record once the daemon, too, has seen that the guest lives, or it cannot any more. */
  async seenAlive(uid: string): Promise<MicroVM> {
    await this.#wait(uid, WaitMicroVMRequest_Until.ALIVE);
    return this.get(uid);
  }

  async #wait(uid: string, until: WaitMicroVMRequest_Until): Promise<void> {
    try {
      await this.#host.vms.waitMicroVM({ uid, until, timeout: { seconds: CONFIGURED_S } });
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code !== Code.FailedPrecondition && code !== Code.DeadlineExceeded) throw error;
    }
  }

  /** Marks it as deleted, and waits until nothing is left. */
  async remove(uid: string): Promise<void> {
    try {
      await this.#host.vms.deleteMicroVM({ uid });
    } catch (error) {
      if (ConnectError.from(error).code === Code.NotFound) return;
      throw error;
    }
    await this.#host.untilGone(uid, 120_000);
  }

  /** Waits for the n-th report of a guest. @throws Error with the record's words and the console's end */
  async report(uid: string, count: number, isSlow = false): Promise<Report> {
    const over = Promise.withResolvers<void>();
    const { FAILED, STOPPED } = MicroVMStatus_MicroVMState;
    let asked = 0;
    let length = 0;
    let since = Date.now();
    const look = async (): Promise<{ readonly is: Report } | { readonly not: string }> => {
      const console = await this.#host.console(uid);
      const { reports, broken, isUnfinished } = heardOn(console);
      const found = reports[count - 1];
      if (found) return { is: found };
      if (console.length !== length) since = Date.now();
      length = console.length;
      // The line that ends it may be what is broken.
      if (broken > asked || (isUnfinished && Date.now() - since > STALL_MS)) {
        asked = broken;
        since = Date.now();
        say(`the report of ${uid} came through broken: it is asked for again`);
        void this.type(uid, 'again', over.promise);
      }
      return { not: console.slice(-1_000) };
    };
    try {
      return await poll(`${uid} has reported ${count} times`, isSlow ? SLOW_REPORT_MS : REPORT_MS, async () => {
        const found = await look();
        if ('is' in found) return found;
        const { status } = await this.#host.get(uid);
        const not = `${status?.reason}: ${status?.message}\n${found.not}`;
        if (status?.state !== FAILED && status?.state !== STOPPED) return { not };
        const last = await look(); // it may have ended meanwhile
        if ('is' in last) return last;
        throw new Error(`The guest ended before its report: ${not}`);
      });
    } finally {
      over.resolve();
    }
  }

  /** As a user does. @returns what comes of it */
  type<T>(uid: string, line: string, until: Promise<T>): Promise<T> {
    return this.#host.type(uid, line, until);
  }

  async facts({ status }: MicroVM): Promise<HostFacts> {
    const mounts = [
      status?.kernelMount,
      status?.initrdMount,
      ...Object.values(status?.volumes ?? {}).map((v) => v.mount),
    ];
    const links = JSON.parse(await this.#host.tool('ip', '-j', '-d', 'link')) as Link[];
    return { links, at: Object.fromEntries(mounts.flatMap((m) => (m ? [[m.source, kindOf(m.source)]] : []))) };
  }
}

/** Since when it is what it is, in milliseconds since 1970. */
export function configuredSince({ status }: MicroVM): number {
  const since = status?.conditions.find(({ type }) => type === 'GuestConfigured')?.lastTransitionTime;
  return since ? timestampMs(since) : Number.NaN;
}

/** `True Configured: …` */
export function configuredOf({ status }: MicroVM): string {
  const found = status?.conditions.find(({ type }) => type === 'GuestConfigured');
  return found ? `${found.status} ${found.reason}: ${found.message}` : 'no such condition';
}

function kindOf(path: string): string {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return 'nothing';
  return found.isFile() ? 'file' : found.isBlockDevice() ? 'block' : 'something else';
}
