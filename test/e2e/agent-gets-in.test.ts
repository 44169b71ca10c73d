import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agentProgram } from '../../guest/agent.ts';
import { demoSpec, poll, ROOT, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { docBlocks } from '../support/doc-blocks.ts';
import { execIn, untilAgent } from '../support/exec-in.ts';
import { leaveToProofs } from '../support/proofs.ts';

/** The ways of docs/guest-agent.md by which a guest gets its agent, in Debian's own root as mmdebstrap makes it. */
const PAGE = readFileSync(join(ROOT, 'docs/guest-agent.md'), 'utf8');
const STOCK = `oci:${ROOT}/.cache/images/stock-bookworm:latest`;
const DEMO_KERNEL = `oci:${ROOT}/.cache/images/demo:kernel`;
/** It needs no initrd, so that nothing but the root can bring an agent. */
const SMALL_KERNEL = `oci:${ROOT}/.cache/images/kernel:latest`;
/** Under software emulation, beside another. */
const UP_MS = 300_000;

const debian = (id: string, image: string, change: object = {}): SpecInit => {
  const { initrd: _, ...spec } = demoSpec(id);
  return {
    ...{ ...spec, memoryInMb: 512 },
    kernel: { image: SMALL_KERNEL, cmdline: 'quiet systemd.show_status=no', addNetworkConfig: true },
    volumes: [{ id: 'root', isRoot: true, sizeInMb: 1024, source: { containerSource: image } }],
    ...change,
  } as SpecInit;
};

/** @returns which program answers, from the top of its file system on, and of which distribution its guest is */
async function agentOf(host: TestHost, uid: string): Promise<string> {
  await untilAgent(host, uid, { timeoutMs: UP_MS });
  const { out } = await execIn(
    host,
    uid,
    'for at in /proc/[0-9]*/exe; do readlink $at; done; . /etc/os-release; echo $ID',
  );
  return [...new Set(out.split('\n').filter((line) => /flintlock-agent|^[a-z]+$/.test(line)))].join(' ');
}

test('the initrd brings an agent into any root, and a layer with program and unit is one, too', async (t) => {
  leaveToProofs(t); // two whole Debians; our own roots have it by the initrd in many tests
  const host = await startHost(t);
  const work = join(host.directory, 'work');
  mkdirSync(work);
  const block = docBlocks(PAGE).find(({ text }) => text.includes('umoci raw add-layer'));
  const env = { ...process.env, AGENT: agentProgram(), BASE: STOCK, MINE: `${host.images}/mine:v1` };
  execFileSync('sh', ['-ec', block?.text ?? 'exit 1'], { cwd: work, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const byInitrd = await host.create(
    debian('initrd', STOCK, { kernel: { image: DEMO_KERNEL, cmdline: 'quiet' }, initrd: { image: DEMO_KERNEL } }),
  );
  const byImage = await host.create(debian('image', `oci:${host.images}/mine:v1`));
  expect(await agentOf(host, byInitrd.spec?.uid ?? '')).toBe('/flintlock/flintlock-agent debian');
  expect(await agentOf(host, byImage.spec?.uid ?? '')).toBe('/usr/sbin/flintlock-agent debian');
  expect(await execIn(host, byImage.spec?.uid ?? '', 'systemctl is-active flintlock-agent')).toMatchObject({ code: 0 });
});

test('cloud-init fetches it from the metadata, and believes only its checksum', async (t) => {
  leaveToProofs(t); // the whole of a Debian's first boot
  const host = await startHost(t);
  const program = readFileSync(agentProgram());
  const sum = createHash('sha256').update(program).digest('hex');
  const [, block = ''] = /```yaml\n(#cloud-config\n[^`]*)```/.exec(PAGE) ?? [];
  const withSum = (text: string): object => ({
    interfaces: [{ guestDeviceName: 'eth0', type: 1, allowMetadataReq: true }],
    metadata: {
      'user-data': Buffer.from(block.replace('SHA256', text)).toString('base64'),
      'flintlock-agent': program.toString('base64'),
    },
  });
  const right = await host.create(debian('right', STOCK, withSum(sum)));
  const wrong = await host.create(
    debian('wrong', STOCK, withSum(sum.replace(/^./, (digit) => (digit === '0' ? '1' : '0')))),
  );
  expect(await agentOf(host, right.spec?.uid ?? '')).toBe('/usr/local/sbin/flintlock-agent debian');
  const uid = wrong.spec?.uid ?? '';
  await poll('the other is not believed', UP_MS, async () => {
    const told = await host.console(uid);
    return told.includes('flintlock-agent: FAILED') ? { is: undefined } : { not: told.slice(-1_000) };
  });
  await untilAgent(host, uid, { status: 'False', timeoutMs: UP_MS });
});
