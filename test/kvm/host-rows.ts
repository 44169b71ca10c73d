import type { CheckHost } from '../../src/doctor/check.ts';
import { acceleration } from '../../src/doctor/checks/acceleration.ts';
import { files } from '../../src/host/files.ts';
import { run } from '../../src/host/run.ts';
import { poll } from '../support/daemon.ts';
import type { Tried } from './providers.ts';
import { must, type Row } from './rows.ts';

const CHECK_MS = 120_000;
const TRIED_MS = 300_000;

/** What is told of a host that has KVM. */
export const hostRows = (tried: readonly Tried[]): readonly Row[] => [
  {
    name: 'doctor',
    promises: 'the doctor says that there is KVM',
    async run() {
      const host = { files, run, signal: AbortSignal.timeout(CHECK_MS) } satisfies Partial<CheckHost>;
      const [row] = await acceleration.examine(host as CheckHost);
      must(row?.status === 'ok', `it says ${row?.status}: ${row?.found}`);
      must(/^KVM \((svm|vmx), \/dev\/kvm\)$/.test(row.found), `it says ${row.found}`);
    },
  },
  ...(tried.map(({ name, by }) => ({
    name: `told-${name}`,
    promises: `the daemon offers ${name} with KVM, which nobody asked for by name`,
    needs: by?.variable,
    async run({ host, say }) {
      // It is tried with a guest first.
      const { version, capabilities } = await poll(`${name} is offered with KVM`, TRIED_MS, async () => {
        const { providers } = await host.host.serverInfo({});
        const told = providers.find((one) => one.name === name);
        if (told?.available === true && told.accelerator === 'kvm') return { is: told };
        return {
          not: told ? `${told.accelerator}: ${told.unavailableReason || told.acceleratorReason}` : 'no such provider',
        };
      });
      say(`version ${version}: ${capabilities.join(', ')}`);
    },
  })) satisfies readonly Row[]),
];
