/**
 * Runs in the guest of cgroup2.test.ts, whose cgroups are all of version 2:
 * starts a daemon there, has it make a microVM, takes the memory from that, and
 * tells on the console what it saw. It has nothing of the checkout's but
 * itself and the package.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const CGROUPS = '/sys/fs/cgroup';
const SOCKET = '/run/http.sock';
const IMAGE = 'oci:/images/idle:v1';
const SPEC = {
  ...{ id: 'glutton', vcpu: 1, memory_in_mb: 32, restart_policy: 'NEVER' },
  ...{ kernel: { image: IMAGE }, initrd: { image: IMAGE } },
};
/** What a container is to its processes: the topmost cgroup that they see is not the host's, and they are in it. */
const IN_CONTAINER = [
  `mkdir -p ${CGROUPS}/box && echo $$ >${CGROUPS}/box/cgroup.procs`,
  `exec unshare --cgroup --mount sh -c 'umount ${CGROUPS} && mount -t cgroup2 none ${CGROUPS} && exec "$0" "$@"' "$@"`,
].join(' && ');

interface Status {
  readonly state: string;
  readonly reason: string;
  readonly message: string;
  readonly retry: number;
}

const facts: string[] = [];
let logs = '';

function say(kind: string, value: unknown): void {
  facts.push(`${kind}=${JSON.stringify(value)}`);
  console.log(`after ${Math.round(performance.now())} ms ${facts.at(-1)}`); // for whoever waits in vain
}

const read = (path: string): string => readFileSync(path, 'utf8').trim();
const cgroupsOfDaemons = (): string[] => readdirSync(CGROUPS).filter((name) => name.startsWith('flintlock-'));

async function ask(method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
  const headers = { 'content-type': 'application/json' };
  const asked = request({ socketPath: SOCKET, method, path: `/v1/${path}`, headers });
  asked.end(body && JSON.stringify(body));
  const [answer] = await once(asked, 'response');
  let text = '';
  for await (const data of answer) text += data;
  return { status: answer.statusCode, text };
}

/** @throws Error when it does not go the straight way there */
async function until(uid: string, state: string): Promise<Status> {
  for (;;) {
    const { text } = await ask('GET', `microvms/${uid}`);
    const { status } = JSON.parse(text) as { status: Status };
    if (status.state === state) return status;
    if (status.state === 'FAILED' || status.retry > 0) throw new Error(`it is not ${state}: ${text}`);
    await sleep(50);
  }
}

/** @param first - what starts the program */
async function startDaemon(...first: readonly string[]): Promise<ChildProcess> {
  const [program = '', ...rest] = [
    ...first,
    'flintlockd',
    'run',
    '--managed-network',
    'none',
    '--image-root',
    '/images',
  ];
  const served = ['--http-endpoint', `unix://${SOCKET}`, '--grpc-endpoint', 'unix:///run/grpc.sock'];
  const daemon = spawn(program, [...rest, ...served], { stdio: ['ignore', 'pipe', 'pipe'] });
  daemon.stderr.on('data', (data: Buffer) => {
    logs += data.toString();
  });
  const ended = once(daemon, 'exit').then(([code]) => Promise.reject(new Error(`the daemon ended with ${code}`)));
  await Promise.race([once(daemon.stdout, 'data'), ended]);
  ended.catch(() => undefined);
  return daemon;
}

async function doctor(...first: readonly string[]): Promise<string> {
  const [program = '', ...rest] = [...first, 'flintlock', 'doctor', '-o', 'json'];
  // There is much that this guest has not: only that one check is looked at.
  const out = await new Promise<string>((done) => execFile(program, rest, (_, text) => done(text)));
  const { checks } = JSON.parse(out) as { checks: { name: string; status: string; found: string }[] };
  return checks.flatMap(({ name, status, found }) => (name === 'cgroups' ? [`${status} ${found}`] : [])).join('\n');
}

/** On a host as it is. */
async function onHost(): Promise<void> {
  say('init_in', read('/proc/1/cgroup'));
  const [daemon, checked] = await Promise.all([startDaemon(), doctor()]);
  say('doctor', checked);
  say('before', cgroupsOfDaemons());
  const created = await ask('POST', 'namespaces/default/microvms', SPEC);
  if (created.status !== 201) throw new Error(`it is refused: ${created.text}`);
  const { uid } = (JSON.parse(created.text) as { spec: { uid: string } }).spec;
  say('uid', uid);
  await until(uid, 'CREATED');

  const [parent = ''] = cgroupsOfDaemons();
  const own = `${CGROUPS}/${parent}/${uid}`;
  const limitsOf = (): object =>
    Object.fromEntries(['memory.max', 'pids.max', 'cgroup.controllers'].map((file) => [file, read(`${own}/${file}`)]));
  const [pid, ...others] = read(`${own}/cgroup.procs`).split('\n');
  say('vmm', read(`/proc/${pid}/cmdline`).split('\0')[0]);
  say('vmm_in', read(`/proc/${pid}/cgroup`));
  say('others', others);
  say('limits', limitsOf());
  say('tasks', Number(read(`${own}/pids.current`)));
  const used = Number(read(`${own}/memory.current`));
  say('used', used);

  // Less than it has: the kernel takes it at once, and ends who holds it.
  writeFileSync(`${own}/memory.max`, String(Math.round(used / 2)));
  const { reason, message } = await until(uid, 'FAILED');
  say('reason', reason);
  say('message', message);

  // Another run has another cgroup of that name: nothing of the last one is in its way.
  await ask('POST', `microvms/${uid}:start`);
  await until(uid, 'CREATED');
  say('limits_again', limitsOf());
  say('kills_again', /^oom_kill (\d+)$/m.exec(read(`${own}/memory.events`))?.[1]);
  await ask('DELETE', `microvms/${uid}`);
  while ((await ask('GET', `microvms/${uid}`)).status !== 404) await sleep(50);
  say('after', cgroupsOfDaemons());
  const ended = once(daemon, 'exit');
  daemon.kill();
  await ended;
}

/** Where no cgroup can be made. */
async function inContainer(): Promise<void> {
  const before = logs.length;
  const first = ['sh', '-c', IN_CONTAINER, 'sh'];
  const [, checked] = await Promise.all([startDaemon(...first), doctor(...first)]);
  say('doctor_in_container', checked);
  say('why_in_container', /without limits .*/.exec(logs.slice(before))?.[0]);
}

try {
  await onHost();
  await inContainer();
} catch (error) {
  say('error', `${error instanceof Error ? error.stack : error}\n${logs.slice(-3_000)}`);
}
facts.unshift('begin=1');
const sum = createHash('md5').update(facts.map((fact) => `${fact}\n`).join(''));
const report = [...facts, `end=${facts.length} ${sum.digest('hex')}`];
// The serial line of a busy machine may double letters: again and again, until somebody has it whole.
for (;;) {
  for (const line of report) console.log(`report: ${line}`);
  await sleep(2_000);
}
