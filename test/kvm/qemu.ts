import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckHost } from '../../src/doctor/check.ts';
import { acceleration } from '../../src/doctor/checks/acceleration.ts';
import { files } from '../../src/host/files.ts';
import { run } from '../../src/host/run.ts';
import { poll } from '../support/daemon.ts';
import { must, type Row, type Stage } from './rows.ts';

/** A guest of Debian's kernel is up after 40 s on an idle machine. */
const UP_MS = 600_000;
const PAUSED_MS = 10_000;

/** The last time that the guest has told, in seconds. */
async function clockOf({ host }: Stage, uid: string): Promise<number> {
  return poll('the guest tells its clock', UP_MS, async () => {
    const text = await host.console(uid);
    const told = [...text.matchAll(/guest: clock=(\d+)\r?\n/g)].at(-1)?.[1];
    return told === undefined ? { not: text.slice(-500) } : { is: Number(told) };
  });
}

async function clean({ host }: Stage): Promise<void> {
  const { leaked, missing } = await host.audit();
  must(leaked.length + missing.length === 0, `the audit is not clean: ${[...leaked, ...missing].join(', ')}`);
}

export const QEMU_ROWS: readonly Row[] = [
  {
    name: 'doctor',
    promises: 'the doctor says that there is KVM',
    async run() {
      const host = { files, run, signal: AbortSignal.timeout(UP_MS) } satisfies Partial<CheckHost>;
      const [row] = await acceleration.examine(host as CheckHost);
      must(row?.status === 'ok', `it says ${row?.status}: ${row?.found}`);
      must(/^KVM \((svm|vmx), \/dev\/kvm\)$/.test(row.found), `it says ${row.found}`);
    },
  },
  {
    name: 'auto',
    promises: 'QEMU is told with KVM, which nobody asked for by name',
    async run({ host }) {
      const { providers } = await host.host.serverInfo({});
      const qemu = providers.find(({ name }) => name === 'qemu');
      must(qemu?.available === true, `QEMU is not available: ${qemu?.unavailableReason}`);
      must(qemu.accelerator === 'kvm', `its accelerator is ${qemu.accelerator}: ${qemu.acceleratorReason}`);
    },
  },
  {
    name: 'life',
    promises:
      'a guest comes up under KVM with its address and disk, outlives the daemon, is deleted, and nothing is left',
    async run(stage) {
      const { host, spec, say } = stage;
      const uid = (await host.create(spec('life'))).spec?.uid ?? '';
      const { status } = await host.until(uid, 'CREATED', UP_MS);
      say('created');
      must(status?.accelerator === 'kvm', `its accelerator is ${status?.accelerator}`);
      const up = await host.untilConsole(uid, /^flintlock-guest: up /, UP_MS);
      say(up);
      must(/ ip=10\.77\.0\.\d+ volumes=vda:rw /.test(up), `the guest says ${up}`);
      await clean(stage);

      const vmms = host.vmms(uid);
      must(vmms.length === 1, `its VMMs are ${vmms.join(', ')}`);
      await host.kill9();
      await host.start();
      say('adopted');
      const { status: adopted } = await host.until(uid, 'CREATED', UP_MS);
      must(adopted?.retry === 0, `it was tried again: ${adopted?.reason}: ${adopted?.message}`);
      must(host.vmms(uid).join() === vmms.join(), `its VMM was ${vmms.join()} and is ${host.vmms(uid).join()}`);
      const before = await clockOf(stage, uid);
      await poll('the guest goes on', UP_MS, async () => {
        const now = await clockOf(stage, uid);
        return now > before ? { is: now } : { not: `${now}` };
      });
      await clean(stage);

      await host.vms.deleteMicroVM({ uid });
      await host.untilGone(uid, UP_MS);
      say('deleted');
      must(host.vmms(uid).length === 0, `its VMM is left: ${host.vmms(uid).join()}`);
      await clean(stage);
    },
  },
  {
    name: 'pause',
    promises: 'a paused guest does nothing, goes on when it is resumed, and its clock is behind by that time',
    async run(stage) {
      const { host, spec, say } = stage;
      const uid = (await host.create(spec('pause'))).spec?.uid ?? '';
      const offset = async (): Promise<number> => Date.now() / 1_000 - (await clockOf(stage, uid));
      await host.untilConsole(uid, /^flintlock-guest: up /, UP_MS);
      say('up');
      const first = await offset();
      await host.vms.pauseMicroVM({ uid });
      const silence = await host.console(uid);
      await sleep(PAUSED_MS);
      must((await host.console(uid)) === silence, 'the guest says something while it is paused');
      const { microvm } = await host.vms.resumeMicroVM({ uid });
      must(/clock is \d+ s behind/.test(microvm?.status?.message ?? ''), `nobody is told: ${microvm?.status?.message}`);
      await poll('the guest goes on', UP_MS, async () => {
        const text = await host.console(uid);
        return text.slice(silence.length).includes('guest: clock=') ? { is: true } : { not: text.slice(-200) };
      });
      const behind = (await offset()) - first;
      say(`${behind.toFixed(0)} s behind`);
      must(behind > PAUSED_MS / 1_000 - 5, `its clock is behind by ${behind.toFixed(1)} s only`);
      await host.vms.deleteMicroVM({ uid });
      await host.untilGone(uid, UP_MS);
      await clean(stage);
    },
  },
];
