import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { DEMO, demoSpec, poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';

interface Cli {
  readonly child: ChildProcess;
  /** Standard output so far. */
  readonly out: () => string;
  readonly err: () => string;
  type(text: string): void;
  says(pattern: RegExp, timeoutMs?: number): Promise<void>;
  /** The exit status. */
  readonly ended: Promise<number | null>;
}

/** The command line against a daemon; ended with the test. */
function cli(host: TestHost, argv: readonly string[], { terminal = false } = {}): Cli {
  const words = [`${ROOT}/bin/flintlock`, '--host', `unix://${host.socket}`, ...argv];
  // script(1) makes the terminal; it takes a command line.
  return start(terminal ? ['script', '-qefc', words.join(' '), '/dev/null'] : words);
}

/** The command line as another user, who need not be able to read this checkout. */
const asUser = (uid: number, gid: number, argv: readonly string[]): Cli =>
  start([process.execPath, `${ROOT}/test/support/cli-as.ts`, String(uid), String(gid), ...argv]);

function start(argv: readonly string[]): Cli {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data.toString();
  });
  return {
    child,
    out: () => out,
    err: () => err,
    type: (text) => void child.stdin.write(text),
    says: (pattern, timeoutMs = 60_000) =>
      poll(`${argv.join(' ')} says ${pattern}`, timeoutMs, async () =>
        pattern.test(out) ? { is: undefined } : { not: `${out.slice(-1_000)}\n${err}` },
      ),
    ended: new Promise((done) => child.once('close', (code) => done(code))),
  };
}

/** The shell reads; it asks the terminal where its cursor is. */
const PROMPT = /# [^\n]{0,4}$/;

const gone = async (host: TestHost): Promise<void> => {
  expect((await host.vms.listMicroVMs({})).microvm).toEqual([]);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
};

test('run boots the demo kernel, types, and ends with the guest; --rm leaves nothing', async (t) => {
  const host = await startHost(t);
  expect((await host.host.serverInfo({})).demoKernel).toBe(`oci:${DEMO}:kernel`);
  const run = cli(host, [
    ...['run', '--rm', '--memory', '96M', '--cmdline', 'quiet', '--name', 'one'],
    ...['--after', 'flintlock-guest: up', `oci:${DEMO}:root`],
  ]);
  run.type('echo $((6 * 7))-typed\n');
  await run.says(/flintlock-guest: up ip=10\.77\.0\.\d+ volumes=vda:rw[\s\S]*42-typed/);
  run.type('poweroff\n');
  expect(await run.ended, run.err()).toBe(0);
  expect(run.err()).not.toContain('flintlock:');
  const was = cli(host, ['get', 'one', '--deleted']);
  expect(await was.ended).toBe(0);
  expect(was.out()).toMatch(/why +Nothing is left of it; before the delete it was STOPPED \(GuestShutdown\)/);
  expect(was.out()).toMatch(/\| .*reboot: Power down/);
  await gone(host);
});

test('several type on one console, Ctrl-C is for the guest, Ctrl-] leaves it, and who types too much waits alone', async (t) => {
  const host = await startHost(t);
  const uid = (await host.create(demoSpec('two'))).spec?.uid ?? '';
  await host.untilConsole(uid, /^flintlock-guest: up /);
  const first = cli(host, ['console', '-i', 'two'], { terminal: true });
  await first.says(/Attached to default\/two/);
  await first.says(PROMPT);
  const second = cli(host, ['console', '-i', 'two']);
  await second.says(/flintlock-guest: up/);
  // Ctrl-C ends what runs in the guest, and nothing else.
  first.type("sh -c 'echo slee''ping; exec sleep 600'\r");
  await second.says(/sleeping/);
  first.type('\x03');
  first.type('echo first-$((1 + 1))\r');
  await first.says(/first-2/);
  second.type('echo second-$((1 + 2))\n');
  await first.says(/second-3/);
  await second.says(/first-2[\s\S]*second-3/);
  first.type('\x1d');
  expect(await first.ended).toBe(0);
  expect(first.out()).toContain('Detached from default/two, which goes on.');
  // The other one is still attached.
  second.type('echo third-$((1 + 3))\n');
  await second.says(/third-4/);
  second.child.kill('SIGINT');
  expect(await second.ended).toBe(0);
  expect((await host.get(uid)).status?.state).toBe(1);

  // Who types more than the guest reads waits, and nobody else does.
  const [pid = 0] = host.vmms(uid);
  let sent = 0;
  const stop = new AbortController();
  async function* flood() {
    yield { uid };
    process.kill(pid, 'SIGSTOP'); // now nothing reads
    for (;;) {
      yield { data: new Uint8Array(64 << 10).fill(0x23) };
      sent += 64 << 10;
    }
  }
  const flooding = (async () => {
    for await (const _ of host.vms.attachConsole(flood(), { signal: stop.signal }));
  })().catch(() => undefined);
  let before = -1;
  await poll('the flood stands still', 20_000, async () => {
    const now = sent;
    const stands = now > 0 && now === before;
    before = now;
    await new Promise((done) => setTimeout(done, 200));
    return stands ? { is: undefined } : { not: `${now} bytes went in` };
  });
  expect(sent).toBeLessThan(8 << 20);
  expect((await host.vms.listMicroVMs({})).microvm).toHaveLength(1);
  process.kill(pid, 'SIGCONT');
  stop.abort();
  await flooding;
  const third = cli(host, ['console', '-i', 'two']);
  third.type('\x03\necho fourth-$((2 + 3))\n');
  await third.says(/fourth-5/);
  third.child.kill('SIGINT');
  await third.ended;

  // A daemon that was killed has let go of the console: the next one types on it.
  await host.kill9();
  await host.start();
  const again = cli(host, ['logs', '-i', 'two', '--tail', '10']);
  again.type('poweroff\n');
  expect(await again.ended, again.err()).toBe(0);
  await host.until(uid, 'STOPPED');
});

test('a member of the group uses the socket without being root, others are told how', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none', '--socket-group', 'daemon'] });
  chmodSync(host.directory, 0o711); // others may pass
  const nobody = 65_534;
  const groupOf = (name: string): number =>
    Number(new RegExp(`^${name}:[^:]*:(\\d+)`, 'm').exec(readFileSync('/etc/group', 'utf8'))?.[1]);
  const list = (gid: number): Cli =>
    asUser(nobody, gid, ['--host', `unix://${host.socket}`, 'list', '-A', '-o', 'json']);
  const member = list(groupOf('daemon'));
  expect(await member.ended, member.err()).toBe(0);
  expect(member.out()).toBe('[]\n');
  const stranger = list(nobody);
  expect(await stranger.ended).toBe(1);
  expect(stranger.err()).toContain('permission denied\nThe socket is open to root and to the group');
});
