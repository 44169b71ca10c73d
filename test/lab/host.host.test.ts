/** A nested host's ends, told by a stand-in for its QEMU: the real one is in test/e2e/lab.test.ts. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { isAlive } from '../support/is-alive.ts';
import { type Ended, runHost } from './host.ts';

/** Connects to the ports as QEMU does, and does what the case says there. */
const standIn = (does: string, pidFile: string): string => `#!${process.execPath}
const { connect } = require('node:net');
const { writeFileSync } = require('node:fs');
const { once } = require('node:events');
(async () => {
  const ports = {};
  for (const word of process.argv) {
    const [, id, path] = /^socket,id=(\\w+),path=(.*)$/.exec(word) ?? [];
    if (id) await once((ports[id] = connect(path)), 'connect');
  }
  const say = (port, text) => new Promise((done) => ports[port].write(text, done));
  const off = () => process.exit(0);
  writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
  ${does}
})();
`;

interface Seen {
  readonly ended: Ended;
  readonly stdout: string;
  readonly stderr: string;
}

interface Given {
  readonly bootMs?: number;
  readonly enough?: (signal: AbortController) => void;
}

async function runs(does: string, { bootMs = 60_000, enough }: Given = {}): Promise<Seen> {
  const directory = mkdtempSync(join(tmpdir(), 'lab-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const [qemu, pidFile] = [join(directory, 'qemu.cjs'), join(directory, 'pid')];
  writeFileSync(qemu, standIn(does, pidFile));
  chmodSync(qemu, 0o755);
  const controller = new AbortController();
  const heard = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof heard) => ({
    write(data: Uint8Array) {
      heard[name] += Buffer.from(data).toString();
      if (heard[name].includes('enough')) enough?.(controller);
      return true;
    },
    once: () => undefined,
  });
  const machine = { qemu, kernel: 'k', initrd: 'i', memoryMb: 512, cpus: 1, tscKhz: 1, out: undefined, directory };
  const streams = { stdout: sink('stdout'), stderr: sink('stderr') };
  const ended = await runHost(machine, streams, { signal: controller.signal, bootMs, offMs: 60_000 });
  expect(isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
  return { ended, ...heard };
}

test('the status is the command’s, and all of its output has come', async () => {
  const large = `await say('status', 'up\\n'); await say('status', 'status 7\\n');
    await say('stdout', 'x'.repeat(1 << 20)); await say('stderr', 'oh\\n'); off();`;
  const { ended, stdout, stderr } = await runs(large);
  expect(ended).toEqual({ kind: 'status', status: 7 });
  expect(stdout).toHaveLength(1 << 20);
  expect(stderr).toBe('oh\n');
});

test('a panic is the host’s failure, and told', async () => {
  const panic = `await say('status', 'up\\n'); await say('console', 'before\\r\\n[ 1.0] Kernel panic - not syncing: int3\\r\\n'); off();`;
  const { ended } = await runs(panic);
  expect(ended).toEqual({ kind: 'broken', why: expect.stringMatching(/under the command\n.*Kernel panic.*int3$/) });
});

test('a host that does not come up is broken at the limit', async () => {
  const { ended } = await runs(`await say('console', 'no root\\n');`, { bootMs: 2_000 });
  expect(ended).toEqual({
    kind: 'broken',
    why: expect.stringMatching(/more than 2 seconds before it was up\nno root$/),
  });
});

test('a QEMU that ends with an error is told with its words', async () => {
  const { ended } = await runs(`process.stderr.write("TCG doesn't support x\\nno memory\\n", () => process.exit(1));`);
  expect(ended).toEqual({
    kind: 'broken',
    why: expect.stringMatching(/^its QEMU ended with status 1\nno memory before/),
  });
});

test('whoever aborts it ends it', async () => {
  const { ended } = await runs(`await say('status', 'up\\n'); await say('stdout', 'enough');`, {
    enough: (controller) => controller.abort(),
  });
  expect(ended).toEqual({ kind: 'aborted' });
});
