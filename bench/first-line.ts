/**
 * How long a guest's first line takes from the create request, beside the same
 * QEMU command run by hand on the same files.
 *
 *     npm run bench -- [ROUNDS]
 *
 * Each round does both, one after the other, so that the noise of the machine
 * falls on both; compare the ratio, not the milliseconds.
 */
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { MicroVMSpec_RestartPolicy, MicroVMSpecSchema } from '../src/gen/types/microvm_pb.ts';
import { demoSpec, TestHost } from '../test/support/daemon.ts';

const rounds = Number(process.argv[2] ?? 10);
/** Its VMM is killed, and must stay so. */
const restartPolicy = MicroVMSpec_RestartPolicy.NEVER;
/** It takes some seconds without KVM; a busy machine is let live. */
const LINE_MS = 300_000;
const FIRST_LINE = 'flintlock-initrd: ';

interface Round {
  readonly accepted: number;
  readonly execed: number;
  readonly running: number;
  readonly line: number;
  readonly byHand: number;
  readonly deleted: number;
}

const host = new TestHost({});
try {
  await host.start();
  const results: Round[] = [];
  await round(); // images are pulled, the network is made
  for (let i = 0; i < rounds; i++) results.push(await round());
  report(results);
} finally {
  await host.close();
}

async function round(): Promise<Round> {
  const at = performance.now();
  const { microvm } = await host.vms.createMicroVM({
    microvm: create(MicroVMSpecSchema, demoSpec(`bench-${Math.round(at)}`, { restartPolicy })),
  });
  const accepted = performance.now() - at;
  const uid = microvm?.spec?.uid ?? '';
  const console_ = `${host.state}/vm/${uid}/console.log`;
  const seen = lineIn(console_).then(() => performance.now() - at);
  await host.vms.waitMicroVM({ uid, until: 1 });
  const running = performance.now() - at;
  const [pid] = host.vmms(uid);
  const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  const execed = running - (Date.now() - startedAt(pid ?? 0));
  const line = await seen;

  // The same command on the same files, once the daemon's own has ended.
  process.kill(pid ?? -1, 'SIGKILL');
  await host.until(uid, 'FAILED', LINE_MS);
  rmSync(console_);
  const began = performance.now();
  const hand = spawn('nsenter', [...host.inside, 'setpriv', '--no-new-privs', ...argv], { stdio: 'ignore' });
  await lineIn(console_);
  const byHand = performance.now() - began;
  const ended = new Promise((done) => hand.once('exit', done));
  hand.kill('SIGKILL');
  await ended;

  const deletedAt = performance.now();
  await host.vms.deleteMicroVM({ uid });
  await host.vms.waitMicroVM({ uid, until: 3 });
  return { accepted, execed, running, line, byHand, deleted: performance.now() - deletedAt };
}

/** When a process began, by the kernel's clock of 10 ms ticks (proc(5)). */
function startedAt(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const ticks = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return Date.now() - uptime * 1_000 + ticks * 10;
}

/** Looks every 2 ms: the wait is part of what is measured, for both alike. */
async function lineIn(path: string): Promise<void> {
  const end = Date.now() + LINE_MS;
  while (!isLineIn(path)) {
    if (Date.now() > end) throw new Error(`${path} has no first line of the guest after ${LINE_MS / 1000} s`);
    await sleep(2);
  }
}

function isLineIn(path: string): boolean {
  try {
    return statSync(path).size > 0 && readFileSync(path, 'utf8').includes(FIRST_LINE);
  } catch {
    return false; // not there yet
  }
}

function report(results: readonly Round[]): void {
  const column = (name: keyof Round): string => {
    const sorted = results.map((r) => r[name]).sort((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(0).padStart(6);
    return `${at(0)} ${at(0.5)} ${at(1)}`;
  };
  console.log(`\n${results.length} rounds, milliseconds from the create request      min    p50    max`);
  console.log(`  answered                                            ${column('accepted')}`);
  console.log(`  VMM exec'd (the kernel's clock ticks are 10 ms)     ${column('execed')}`);
  console.log(`  CREATED, as a waiting client sees it                ${column('running')}`);
  console.log(`  guest's first line                                  ${column('line')}`);
  console.log(`  the same QEMU command by hand, to its first line    ${column('byHand')}`);
  console.log(`  delete request → gone                               ${column('deleted')}`);
  const ratios = results.map((r) => r.line / r.byHand).sort((a, b) => a - b);
  console.log(`  ratio, median of the rounds: ${(ratios[Math.floor(ratios.length / 2)] ?? 0).toFixed(2)}`);
}
