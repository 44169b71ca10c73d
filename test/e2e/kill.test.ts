import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { expect, type TestContext, test } from 'vitest';
import { MicroVMSpec_RestartPolicy } from '../../src/gen/types/microvm_pb.ts';
import { demoSpec, startHost, type TestHost } from '../support/daemon.ts';
import { type HeldTool, holdTool, pathWith } from '../support/hold.ts';
import { leaveToProofs } from '../support/proofs.ts';

const CLEAN = { leaked: [], missing: [], fixed: [] };

/** A daemon, one of whose tools stands still until it is let go. */
async function startWithHold(t: TestContext, tool: string): Promise<{ host: TestHost; held: HeldTool }> {
  const bin = mkdtempSync('/tmp/flt-bin-');
  t.onTestFinished(() => rmSync(bin, { recursive: true, force: true }));
  const held = holdTool(bin, tool);
  t.onTestFinished(() => held.release());
  const host = await startHost(t, { env: pathWith(bin) });
  return { host, held };
}

const taps = async (host: TestHost): Promise<number> =>
  (JSON.parse(await host.tool('ip', '-j', 'link', 'show', 'type', 'tun')) as unknown[]).length;

const WHILE = [
  ['it is pulled', 'skopeo'],
  ['its disk image is made', 'mke2fs'],
  ['its VMM is started', 'qemu-system-x86_64'],
] as const;
/** For the others there are points of test/faults/sample.test.ts. */
const SAMPLE = 'it is pulled';

for (const [when, tool] of WHILE)
  test(`a daemon killed while ${when} ends what it promised, once, and leaves nothing`, async (t) => {
    leaveToProofs(t, when !== SAMPLE);
    const { host, held } = await startWithHold(t, tool);
    const uid = (await host.create(demoSpec('one'))).spec?.uid ?? '';
    await held.reached();
    await host.kill9();
    held.release();
    await host.start();
    await host.until(uid, 'CREATED');
    await host.untilConsole(uid, /^flintlock-guest: up /);
    expect(host.vmms(uid)).toHaveLength(1);
    expect(await taps(host)).toBe(1);
    expect(await host.audit()).toEqual(CLEAN);
    await host.vms.deleteMicroVM({ uid });
    await host.untilGone(uid);
    expect(await host.audit()).toEqual(CLEAN);
    expect(readdirSync(`${host.state}/images/scratch`)).toEqual([]);
  });

test('a daemon killed under running microVMs adopts the living and tells of the dead', async (t) => {
  const host = await startHost(t);
  const [alive, dead] = await Promise.all(
    ['alive', 'dead'].map(async (id) => {
      const { spec } = await host.create(demoSpec(id, { restartPolicy: MicroVMSpec_RestartPolicy.NEVER }));
      return spec?.uid ?? '';
    }),
  );
  if (alive === undefined || dead === undefined) throw new Error('not created');
  await Promise.all([alive, dead].map((uid) => host.untilConsole(uid, /^flintlock-guest: up /)));
  const [pid] = host.vmms(alive);
  await host.kill9();
  expect(host.vmms(alive)).toEqual([pid]);
  process.kill(host.vmm(dead), 'SIGKILL');
  await host.start();
  // Ready means: the guests have been looked at.
  expect((await host.get(alive)).status?.state).toBe(1);
  const gone = await host.until(dead, 'FAILED');
  expect(gone.status?.reason).toBe('VmmVanished');
  expect(gone.status?.consoleTail).toContain('flintlock-guest: up');
  expect(host.vmms(alive)).toEqual([pid]);
  // Supervised as before: its end is seen within a second.
  const at = Date.now();
  process.kill(host.vmm(alive), 'SIGKILL');
  const ended = await host.until(alive, 'FAILED');
  expect(Date.now() - at).toBeLessThan(1_000);
  expect(ended.status?.reason).toBe('VmmVanished'); // nobody's child: its signal is not known
  for (const uid of [alive, dead]) await host.vms.deleteMicroVM({ uid });
  for (const uid of [alive, dead]) await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
});

test('a daemon killed in the midst of a delete goes on with it', async (t) => {
  const { host, held } = await startWithHold(t, 'dhcp_release');
  const uid = (await host.create(demoSpec('one'))).spec?.uid ?? '';
  await host.vms.waitMicroVM({ uid, until: 4 });
  await host.vms.deleteMicroVM({ uid });
  await held.reached();
  expect((await host.get(uid)).status?.state).toBe(3);
  await host.kill9();
  held.release();
  await host.start();
  await host.untilGone(uid);
  expect(await host.audit()).toEqual(CLEAN);
  expect(host.vmms(uid)).toEqual([]);
  expect(await taps(host)).toBe(0);
});

test('a delete interrupts a create that hangs, and wins', async (t) => {
  const { host, held } = await startWithHold(t, 'skopeo');
  const uid = (await host.create(demoSpec('one'))).spec?.uid ?? '';
  await held.reached();
  const at = Date.now();
  await host.vms.deleteMicroVM({ uid });
  await host.untilGone(uid, 10_000);
  expect(Date.now() - at).toBeLessThan(5_000);
  expect(await host.audit()).toEqual(CLEAN);
});

test('SIGTERM ends the daemon in under 5 s with exit 0 and the microVMs go on, also when a step hangs', async (t) => {
  const { host, held } = await startWithHold(t, 'mke2fs');
  const bare = (await host.create(demoSpec('bare', { volumes: [] }))).spec?.uid ?? '';
  await host.until(bare, 'CREATED');
  const stuck = (await host.create(demoSpec('stuck'))).spec?.uid ?? '';
  await held.reached();
  const at = Date.now();
  expect(await host.stop()).toBe(0);
  expect(Date.now() - at).toBeLessThan(5_000);
  expect(host.vmms(bare)).toHaveLength(1);
  held.release();
  await host.start();
  expect((await host.get(bare)).status?.state).toBe(1);
  await host.until(stuck, 'CREATED');
});
