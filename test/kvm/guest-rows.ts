import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MicroVMStatus, MicroVMStatus_MicroVMState } from '../../src/gen/types/microvm_pb.ts';
import { poll, type TestHost } from '../support/daemon.ts';
import { execIn, untilAgent } from '../support/exec-in.ts';
import type { Tried } from './providers.ts';
import { must, type Row, type Stage } from './rows.ts';

/** A guest of Debian's kernel is up after 40 s on an idle machine. */
const UP_MS = 600_000;
const PAUSED_MS = 10_000;
/** What the clock may be off by, for it is read from the console. */
const OFF_S = 5;

/** What a guest has told of its clock so far, in seconds. */
async function clocks(host: TestHost, uid: string): Promise<readonly number[]> {
  const text = await host.console(uid);
  return [...text.matchAll(/guest: clock=(\d+)\r?\n/g)].map(([, told]) => Number(told));
}

/** Waits until the guest tells its clock once more. @returns by how many seconds that is behind ours */
async function clockBehind(host: TestHost, uid: string): Promise<number> {
  const { length } = await clocks(host, uid);
  return poll('the guest goes on', UP_MS, async () => {
    const told = await clocks(host, uid);
    const last = told.at(-1);
    if (last === undefined || told.length === length) return { not: `it has told its clock ${length} times` };
    return { is: Date.now() / 1_000 - last };
  });
}

/** Processes that are the guest's, by number. @param isOf - Default: all, the daemon's helpers for it among them */
const processesOf = (host: TestHost, uid: string, isOf = (_program: string): boolean => true): string =>
  host
    .processes()
    .filter(({ argv }) => argv.some((word) => word.includes(uid)) && isOf(argv[0] ?? ''))
    .map(({ pid, argv }) => `${pid} ${argv[0]}`)
    .toSorted()
    .join(', ');

/** Those that outlive a daemon: its helpers are in perl. */
const vmmsOf = (host: TestHost, uid: string): string => processesOf(host, uid, (program) => program !== 'perl');

async function mustBeClean(host: TestHost): Promise<void> {
  const { leaked, missing } = await host.audit();
  must(leaked.length + missing.length === 0, `the audit is not clean: ${[...leaked, ...missing].join(', ')}`);
}

async function remove({ host, say }: Stage, uid: string): Promise<void> {
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid, UP_MS);
  say('deleted');
  must(processesOf(host, uid) === '', `processes are left: ${processesOf(host, uid)}`);
  await mustBeClean(host);
}

/** Says on the way what it waits for: that takes minutes. */
async function untilCreated({ host, say }: Stage, uid: string): Promise<MicroVMStatus> {
  let said = '';
  return poll(`${uid} is CREATED`, UP_MS, async () => {
    const { status } = await host.get(uid);
    const step = status?.progress ? ` (${status.progress.step})` : '';
    const now = `${status?.reason}: ${status?.message}${step}`;
    if (now !== said) say(now);
    said = now;
    must(status?.state !== MicroVMStatus_MicroVMState.FAILED, `it is FAILED, ${now}`);
    return status?.state === MicroVMStatus_MicroVMState.CREATED ? { is: status } : { not: now };
  });
}

/** @returns its uid, when it is up */
async function begin(stage: Stage, provider: string, id: string, providerOptions = {}): Promise<string> {
  const { host, spec, say } = stage;
  const uid = (await host.create({ ...spec(id), provider, providerOptions })).spec?.uid ?? '';
  const { accelerator } = await untilCreated(stage, uid);
  must(accelerator === 'kvm', `its accelerator is ${accelerator}`);
  const up = await host.untilConsole(uid, /^flintlock-guest: up .* volumes=\S+ /, UP_MS); // a line may come in pieces
  say(up);
  must(/ ip=10\.77\.0\.\d+ volumes=vda:rw /.test(up), `the guest says ${up}`);
  say(await untilAgent(host, uid, { timeoutMs: UP_MS }));
  return uid;
}

/** Whose root is another than ours. */
const jailedOf = (host: TestHost, uid: string): number =>
  host
    .processes()
    .filter(
      ({ pid, argv }) =>
        argv.some((word) => word.includes(uid)) && statSync(`/proc/${pid}/root/`).ino !== statSync('/').ino,
    ).length;

const life = (
  { name, by, with: beside = [] }: Tried,
  way = '',
  options: Readonly<Record<string, string>> = {},
): Row => ({
  name: `life-${name}${way && `-${way}`}`,
  promises: `a guest of ${name}${way && ` by ${way}`} comes up with address and disk, outlives the daemon, runs a command, is deleted, and nothing is left`,
  needs: by?.variable,
  async run(stage) {
    const { host } = stage;
    const uid = await begin(stage, name, `life-${name}${way && `-${way}`}`, options);
    await mustBeClean(host);
    const before = vmmsOf(host, uid);
    must(before !== '', 'no process is its own');
    if (beside.some(({ variable }) => process.env[variable]))
      must(jailedOf(host, uid) === 1, `none of its processes is in a jail: ${before}`);
    await host.kill9();
    await host.start();
    const { retry, reason, message } = await untilCreated(stage, uid);
    must(retry === 0, `it was tried again: ${reason}: ${message}`);
    must(vmmsOf(host, uid) === before, `its processes were ${before}, and are ${vmmsOf(host, uid)}`);
    await clockBehind(host, uid);
    await untilAgent(host, uid, { timeoutMs: UP_MS });
    const { code, out } = await execIn(host, uid, 'echo $((6 * 7)); exit 3');
    must(code === 3 && out === '42\n', `a command in the guest says ${JSON.stringify(out)} and ends with ${code}`);
    const much = await execIn(host, uid, 'dd if=/dev/zero bs=65536 count=16 2>/dev/null');
    must(much.out.length === 16 * 65_536, `of 1 MiB of output ${much.out.length} bytes came, and ${much.code}`);
    await mustBeClean(host);
    await remove(stage, uid);
  },
});

const pause = ({ name, by }: Tried): Row => ({
  name: `pause-${name}`,
  promises: `a paused guest of ${name} does nothing, goes on when it is resumed, and its clock is set by its agent`,
  needs: by?.variable,
  async run(stage) {
    const { host, say } = stage;
    const uid = await begin(stage, name, `pause-${name}`);
    const first = await clockBehind(host, uid);
    await host.vms.pauseMicroVM({ uid });
    const silence = (await host.console(uid)).length;
    // A pause is a time: what is waited for is that nothing comes.
    await sleep(PAUSED_MS);
    must((await host.console(uid)).length === silence, 'the guest says something while it is paused');
    await host.vms.resumeMicroVM({ uid });
    await poll('nothing is said of its clock any more', UP_MS, async () => {
      const message = (await host.get(uid)).status?.message ?? '';
      return message.includes('behind') ? { not: message } : { is: undefined };
    });
    const last = await clockBehind(host, uid);
    const said = `${first.toFixed(1)} s behind before, and ${last.toFixed(1)} s after it`;
    say(said);
    // It may have been wrong since its boot, on a host that is slow: then it is right now.
    must(last - first < OFF_S && last > -OFF_S, `its clock is ${said}`);
    await remove(stage, uid);
  },
});

/** What a guest is under KVM, of each provider. */
export const guestRows = (tried: readonly Tried[]): readonly Row[] =>
  tried.flatMap((one) => [
    life(one),
    ...Object.entries(one.ways ?? {}).map(([way, options]) => life(one, way, options)),
    pause(one),
  ]);
