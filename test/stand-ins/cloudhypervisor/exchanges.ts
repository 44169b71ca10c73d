import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LANDLOCK_TRIAL } from '../../../src/vmm/cloudhypervisor/perl.ts';

interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
}

/** What is the same in every version: the status, of what is told the names, and of an error the outer words. */
interface Seen extends Exchange {
  readonly status: number;
  readonly told: readonly string[];
}

/** What not every version, and not every host has. */
interface Has {
  /** Rules of Landlock, and disks that name what is below them: since 51 both. */
  readonly rules: boolean;
  /** The host's kernel confines it by them. */
  readonly landlock: boolean;
}

/** No guest runs in any of them: with a kernel that is none they fail. @param directory - for the files that they name */
function exchangesIn(directory: string, has: Has): readonly Exchange[] {
  const kernel = join(directory, 'kernel');
  writeFileSync(kernel, 'this is no kernel');
  const get = (request: string): Exchange => ({ method: 'GET', path: `/api/v1/${request}` });
  const put = (request: string, body?: unknown): Exchange => ({
    ...{ method: 'PUT', path: `/api/v1/${request}` },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const payload = { kernel, cmdline: 'console=ttyS0' };
  const consoles = { serial: { mode: 'Null' }, console: { mode: 'Off' } };
  const good = { payload, ...consoles, cpus: { boot_vcpus: 1, max_vcpus: 1 }, memory: { size: 2 ** 27 } };
  const again = [put('vm.delete'), put('vm.delete')];
  const refusedAtBoot = (machine: unknown) => [put('vm.create', machine), put('vm.boot'), ...again];
  const disk = { path: kernel, image_type: 'Qcow2' };
  const ofRules = [
    ...[
      { landlock_enable: 'yes' },
      { landlock_rules: [{ path: '/x' }] },
      { landlock_rules: { path: '/x', access: 'r' } },
      { disks: [{ ...disk, backing_files: 'yes' }] },
    ].map((body) => put('vm.create', body)),
    ...refusedAtBoot({ ...good, landlock_rules: [{ path: join(directory, 'nonesuch'), access: 'r' }] }),
    ...refusedAtBoot({ ...good, landlock_rules: [{ path: directory, access: 'rx' }] }),
    ...refusedAtBoot({ ...good, landlock_rules: [{ path: directory, access: '' }] }),
    ...refusedAtBoot({ ...good, disks: [{ ...disk, backing_files: true }] }),
  ];
  // The last of all: who has shut itself in stays so.
  const confined = [
    ...refusedAtBoot({ ...good, landlock_enable: true }),
    ...refusedAtBoot({ ...good, landlock_enable: true, payload: { kernel: '/etc/hostname' } }),
    put('vm.create', { ...good, payload: { kernel: '/etc/passwd' } }),
    ...[put('vm.boot'), ...again],
  ];
  return [
    ...['vmm.ping', 'vm.info', 'vm.counters', 'vm.boot', 'nonesuch', 'vm.create'].map(get),
    ...['vmm.ping', 'vm.info', 'nonesuch'].map((one) => put(one)),
    ...['vm.pause', 'vm.resume', 'vm.shutdown', 'vm.reboot', 'vm.power-button', 'vm.boot'].map((one) => put(one)),
    put('vm.add-net', { id: 'a' }),
    ...['', '{', '[]', 'null', '7'].map((text) => put('vm.create', text)),
    ...[
      { cpus: { boot_vcpus: '1', max_vcpus: 1 } },
      { cpus: { boot_vcpus: 1 } },
      { cpus: { boot_vcpus: -1, max_vcpus: 1 } },
      { memory: { size: 'much' } },
      { memory: {} },
      { disks: {} },
      { disks: [{ path: 7 }] },
      { disks: [{ path: '/x', image_type: 'Odd' }] },
      { payload: 'kernel' },
      { serial: { mode: 'Loud' } },
      { serial: {} },
      { net: [{ mac: 'zz' }] },
      { pvpanic: 'yes' },
      { vsock: { cid: 3 } },
      { vsock: { cid: 'three', socket: '/x' } },
      { balloon: { deflate_on_oom: true } },
      { balloon: { size: 0, free_page_reporting: 'on' } },
    ].map((body) => put('vm.create', body)),
    ...[put('vm.create', {}), get('vm.info'), put('vm.create', {}), put('vm.boot'), ...again],
    ...[put('vm.create', { ...good, nonesuch: true }), get('vm.info'), ...again],
    ...[put('vm.create', { ...good, cpus: { boot_vcpus: 2, max_vcpus: 1 } }), put('vm.boot'), ...again],
    ...[put('vm.create', { ...good, payload: { kernel: join(directory, 'nonesuch') } }), put('vm.boot'), ...again],
    ...[put('vm.create', good), put('vm.boot'), ...again],
    ...[put('vm.create', { ...good, vsock: { cid: 2, socket: join(directory, 'vsock') } }), put('vm.boot'), ...again],
    put('vm.create', good),
    ...[{ id: 'a', mac: '02:00:00:00:00:01' }, { id: 'a' }, { id: 'b', mac: 'zz' }, { id: 'b', mtu: 70_000 }].map(
      (net) => put('vm.add-net', net),
    ),
    ...[get('vm.info'), get('vm.counters'), ...again, get('vm.info')],
    ...['POST', 'DELETE'].map((method) => ({ method, path: '/api/v1/vmm.ping' })),
    ...(has.rules ? ofRules : []),
    ...(has.rules && has.landlock ? confined : []),
    put('vmm.shutdown'),
  ];
}

/** Which arguments end it, with which status. */
const ARGUMENTS = [
  ['--version'],
  ['--nonesuch'],
  ['--api-socket'],
  ['--event-monitor', 'nonesuch=1'],
] as const satisfies readonly (readonly string[])[];

export interface Comparable {
  readonly answers: readonly Seen[];
  /** Status of each of the arguments, then of the end that the last exchange asks for. */
  readonly statuses: readonly (number | null)[];
  /** What is told unasked, in its order. */
  readonly events: readonly string[];
  /** Whether its socket is gone, and its lock is there. */
  readonly leaves: readonly boolean[];
}

/** What a program has, and this host. */
export async function hasOf(program: string): Promise<Has> {
  const told = (...argv: [string, ...string[]]) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const [first, ...rest] = argv;
    execFile(first, rest, { timeout: 60_000 }, (error, text) => (error ? reject(error) : resolve(text)));
    return promise;
  };
  const major = Number(/v?(\d+)\./.exec(await told(program, '--version'))?.[1]);
  return { rules: major >= 51, landlock: (await told('perl', '-e', LANDLOCK_TRIAL)) === 'ok\n' };
}

/** Asks a program all of them. The real one needs /dev/kvm. @param directory - empty, and not everybody's */
export async function seenOf(
  program: string,
  directory: string,
  signal: AbortSignal,
  has: Has = { rules: true, landlock: false },
): Promise<Comparable> {
  mkdirSync(directory, { recursive: true });
  const statuses: (number | null)[] = [];
  for (const words of ARGUMENTS) {
    const child = spawn(program, words, { stdio: 'ignore', signal });
    const [code]: unknown[] = await once(child, 'exit');
    statuses.push(typeof code === 'number' ? code : null);
  }
  const socket = join(directory, 'api.sock');
  const events = join(directory, 'events');
  const argv = ['--api-socket', `path=${socket}`, '--event-monitor', `path=${events}`];
  const child: ChildProcess = spawn(program, argv, { stdio: ['ignore', 'ignore', 'inherit'], signal });
  try {
    const exited = once(child, 'exit');
    while (!existsSync(socket)) {
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
      await sleep(10, undefined, { signal });
    }
    const answers = await askAll(socket, exchangesIn(directory, has));
    const [code]: unknown[] = await exited;
    statuses.push(typeof code === 'number' ? code : null);
    const told = readFileSync(events, 'utf8').matchAll(/"source": "(\S+)",\n {2}"event": "(\S+)"/g);
    return {
      ...{ answers, statuses },
      events: [...told].map(([, source, event]) => `${source} ${event}`).filter((one) => !/^(cpu|virtio)/.test(one)),
      leaves: [existsSync(socket), existsSync(`${socket}.lock`)],
    };
  } finally {
    child.kill('SIGKILL');
  }
}

async function askAll(socketPath: string, exchanges: readonly Exchange[]): Promise<readonly Seen[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const seen: Seen[] = [];
    for (const exchange of exchanges) seen.push({ ...exchange, ...(await ask(socketPath, agent, exchange)) });
    return seen;
  } finally {
    agent.destroy();
  }
}

function ask(
  socketPath: string,
  agent: Agent,
  { method, path, body }: Exchange,
): Promise<Pick<Seen, 'status' | 'told'>> {
  const { promise, resolve, reject } = Promise.withResolvers<Pick<Seen, 'status' | 'told'>>();
  const headers = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
  const asked = request({ socketPath, agent, method, path, headers, timeout: 60_000 }, (answer) => {
    let text = '';
    answer.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    answer.once('end', () => resolve({ status: answer.statusCode ?? 0, told: toldIn(text) }));
    answer.once('error', reject);
  });
  asked.once('error', reject);
  asked.once('timeout', () => asked.destroy(new Error(`no answer to ${method} ${path}`)));
  asked.end(body);
  return promise;
}

/** So many words of a chain are Cloud Hypervisor's own: who asked, what failed, and the first reason. */
const OUTER_WORDS = 3;

function toldIn(text: string): readonly string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(value))
    return typeof value === 'object' && value !== null
      ? Object.keys(value)
          .filter((key) => key !== 'device_tree')
          .sort()
      : [];
  // What comes behind it is of the library that reads JSON.
  return value[0] === 'Failed to deserialize JSON' ? value.slice(0, 1) : value.slice(0, OUTER_WORDS);
}
