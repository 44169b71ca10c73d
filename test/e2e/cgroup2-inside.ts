/**
 * Runs in the guest of cgroup2.test.ts, whose cgroups are all of version 2:
 * starts a daemon there, has it make a microVM, takes the memory from that, and
 * tells on the console what it saw. It has nothing of the checkout's but
 * itself and the package.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Check, CheckHost } from '../../src/doctor/check.ts';
import type { createCgroups } from '../../src/host/cgroups.ts';
import type { Files } from '../../src/ports/host.ts';

const CGROUPS = '/sys/fs/cgroup';
const SOCKET = '/run/http.sock';
const IMAGE = 'oci:/images/idle:v1';
const SPEC = {
  ...{ id: 'glutton', vcpu: 1, memory_in_mb: 32, restart_policy: 'NEVER' },
  ...{ kernel: { image: IMAGE }, initrd: { image: IMAGE } },
};
/** What a container is to its processes: the topmost cgroup that they see is not the host's, and they are in it. */
const IN_CONTAINER = [
  `mkdir ${CGROUPS}/box && echo $$ >${CGROUPS}/box/cgroup.procs`,
  `exec unshare --cgroup --mount sh -c 'umount ${CGROUPS} && mount -t cgroup2 none ${CGROUPS} && exec "$0" "$@"' "$@"`,
].join(' && ');

interface Status {
  readonly state: string;
  readonly reason: string;
  readonly message: string;
  readonly retry: number;
}

interface Judgement {
  readonly doctor: string;
  readonly why: string | undefined;
}

const facts: string[] = [];
let log = '';

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

async function startDaemon(): Promise<() => Promise<void>> {
  const flags = ['--managed-network', 'none', '--image-root', '/images', '--http-endpoint', `unix://${SOCKET}`];
  const daemon = spawn('flintlockd', ['run', ...flags, '--grpc-endpoint', 'unix:///run/grpc.sock'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  daemon.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  const ended = once(daemon, 'exit');
  const early = ended.then(([code]) => Promise.reject(new Error(`the daemon ended with ${code}`)));
  await Promise.race([once(daemon.stdout, 'data'), early]);
  early.catch(() => undefined);
  return async () => {
    daemon.kill();
    await ended;
  };
}

/** What `flintlock doctor` says, and what keeps the daemon from it. Their parts: the programs load ten times as much. */
async function judge(): Promise<Judgement> {
  const part = (path: string): Promise<unknown> => import(`/flintlock/dist/${path}.js`);
  const { files } = (await part('host/files')) as { files: Files };
  const { cgroups: check } = (await part('doctor/checks/cgroups')) as { cgroups: Check };
  const cgroups = (await part('host/cgroups')) as { createCgroups: typeof createCgroups };
  const [result] = await check.examine({ files } as CheckHost);
  const { why } = await cgroups.createCgroups({ files, name: 'flintlock-judge', setting: 'auto' });
  return { doctor: `${result?.status} ${result?.found}`, why };
}

/** On a host as it is. */
async function onHost(): Promise<void> {
  say('init_in', read('/proc/1/cgroup'));
  const end = await startDaemon();
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
  await end();
  say('judged', await judge());
}

if (process.argv[2] === 'judge') {
  process.stdout.write(JSON.stringify(await judge()));
  process.exit();
}
try {
  await onHost();
  const argv = ['-c', IN_CONTAINER, 'sh', process.execPath, import.meta.filename, 'judge'];
  say('judged_in_container', JSON.parse(execFileSync('sh', argv, { encoding: 'utf8' })));
} catch (error) {
  say('error', `${error instanceof Error ? error.stack : error}\n${log.slice(-3_000)}`);
}
facts.unshift('begin=1');
const sum = createHash('md5').update(facts.map((fact) => `${fact}\n`).join(''));
const report = [...facts, `end=${facts.length} ${sum.digest('hex')}`];
// The serial line of a busy machine may double letters: again and again, until somebody has it whole.
for (;;) {
  for (const line of report) console.log(`report: ${line}`);
  await sleep(2_000);
}
