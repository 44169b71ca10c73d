import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { ROOT } from '../support/daemon.ts';
import { leaveToProofs } from '../support/proofs.ts';

const exec = promisify(execFile);

/** 4 minutes on an idle machine, half an hour beside ten busy programs; and it is started once more where its kernel panics. */
const LIFE_MS = 3_600_000;
const COMMAND_MS = 600_000;

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function lab(timeout: number, ...args: readonly string[]): Promise<Ran> {
  const env = { ...process.env, NO_COLOR: '1' };
  // It ends by its own limit, with everything that it has started.
  const options = ['--timeout', String(Math.round((timeout * 0.9) / 1_000)), ...args];
  return exec(process.execPath, ['scripts/lab.mjs', ...options], { cwd: ROOT, env, maxBuffer: 64 << 20 }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  );
}

test("a command's output and status are those of a host with KVM, and what it shares comes back", {
  timeout: COMMAND_MS,
}, async () => {
  const out = mkdtempSync(join(tmpdir(), 'flt-lab-'));
  onTestFinished(() => rmSync(out, { recursive: true, force: true }));
  const script = `test -c /dev/kvm && test -c /dev/vhost-vsock && test -c /dev/net/tun || echo no devices
    test ! -e "$TMPDIR" && touch ${ROOT}/written && echo "it's $1"; id -u >&2; echo kept >${out}/kept; exit 7`;
  const ran = await lab(COMMAND_MS, '--out', out, 'sh', '-c', script, 'sh', 'a  b');
  expect(ran).toEqual({ code: 7, stdout: "it's a  b\n", stderr: expect.stringMatching(/^0\n$/m) });
  expect(readFileSync(join(out, 'kept'), 'utf8')).toBe('kept\n');
  await expect(exec('ls', [join(ROOT, 'written')])).rejects.toThrow('No such file');
});

test('a guest lives under KVM from create to delete, outlives the daemon, and leaves nothing', {
  timeout: LIFE_MS,
}, async (context) => {
  leaveToProofs(context);
  const { code, stdout, stderr } = await lab(LIFE_MS, 'npm', 'run', 'e2e:kvm', '--', '--only', 'life-qemu');
  expect(code, `${stdout}\n${stderr}`.slice(-8_000)).toBe(0);
  expect(stdout).toMatch(/^ok +life-qemu /m);
  expect(stdout).toMatch(/^e2e:kvm: 1 as they must be, 0 wrong, 0 skipped/m);
});
