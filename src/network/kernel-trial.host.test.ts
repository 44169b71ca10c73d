import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { Run } from '../ports/host.ts';
import { KERNEL_PARTS, tryKernelPart } from './kernel-trial.ts';

const { signal } = new AbortController();

test.for(Object.values(KERNEL_PARTS))('$name is made for real, and nothing of it is on the host', async (part) => {
  expect(await tryKernelPart(part, { run, files, signal })).toEqual({ is: 'works' });
  expect(await run(['ip', '-brief', 'link'], { signal, timeoutMs: 20_000 })).not.toContain('trial');
});

test('what a kernel cannot is told in its words; a tool that is missing is not the kernel', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'fl-kernel-'));
  try {
    const nft = join(directory, 'nft');
    await writeFile(
      nft,
      '#!/bin/sh\necho "/dev/stdin:7:1-2: Error: Could not process rule: Operation not supported" >&2; exit 1\n',
    );
    await chmod(nft, 0o755);
    const before: Run = ([program, ...args], limits) =>
      run(['env', `PATH=${directory}:${process.env.PATH}`, program, ...args], limits);
    expect(await tryKernelPart(KERNEL_PARTS.firewall, { run: before, files, signal })).toMatchObject({
      is: 'lacks',
      found: 'Error: Could not process rule: Operation not supported',
      remedy: expect.stringContaining('nf_tables'),
    });
    // Busybox', where it comes first: nothing that it does not know has come to the kernel.
    const ip = join(directory, 'ip');
    await writeFile(ip, '#!/bin/sh\nprintf "BusyBox v1.35.0\\n\\nUsage: ip [OPTIONS] address|route\\n" >&2; exit 1\n');
    await chmod(ip, 0o755);
    expect(await tryKernelPart(KERNEL_PARTS.tun, { run: before, files, signal })).toMatchObject({ is: 'untried' });
    await rm(ip);
    const without: Run = ([program, ...args], limits) =>
      run(
        ['env', `PATH=${directory}`, `/usr/bin/${program}`, ...args.map((one) => (one === 'sh' ? '/bin/sh' : one))],
        limits,
      );
    expect(await tryKernelPart(KERNEL_PARTS.bridge, { run: without, files, signal })).toMatchObject({ is: 'untried' });
  } finally {
    await rm(directory, { recursive: true });
  }
});
