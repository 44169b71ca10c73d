import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { demoSpec, poll, startHost } from '../support/daemon.ts';
import { execIn, untilAgent } from '../support/exec-in.ts';

const MIB = 2 ** 20;
/** That the guest writes, and frees. */
const WRITTEN_MB = 96;
/** The kernel reports once in two seconds what is free; some of it is in pieces too small for that. */
const BACK_MB = 64;

/** Of a process, in MiB. @see proc_pid_status(5) */
const residentOf = (pid: number): number =>
  (Number(/^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024) / MIB;

test('memory that a guest has freed is the host’s again where there is a balloon', async (t) => {
  const host = await startHost(t);
  const { spec } = await host.create(demoSpec('one', { memoryInMb: 256, providerOptions: { balloon: 'on' } }));
  const uid = spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  await untilAgent(host, uid);
  const resident = (): number => residentOf(host.vmm(uid));
  const script = `mount -t tmpfs none /mnt && dd if=/dev/zero of=/mnt/x bs=1M count=${WRITTEN_MB} 2>/dev/null && sync`;
  const before = resident();
  expect(await execIn(host, uid, script)).toMatchObject({ code: 0 });
  const full = resident();
  expect(full - before).toBeGreaterThan(BACK_MB);
  expect(await execIn(host, uid, 'umount /mnt')).toMatchObject({ code: 0 });
  await poll('it is the host’s again', 60_000, async () => {
    const now = resident();
    return full - now > BACK_MB ? { is: now } : { not: `${full.toFixed()} MiB then, ${now.toFixed()} now` };
  });
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});
