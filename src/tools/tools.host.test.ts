import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { Run } from '../ports/host.ts';
import { TOOLS } from './list.ts';
import { removeOldTrials } from './scratch.ts';
import { nameOf, tryTool, type Verdict } from './tool.ts';

/** This test's alone. */
const WHOSE = `test${process.pid}`;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fl-tools-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The verdict on a tool, with programs of ours in the place of the host's. */
async function verdictOn(
  name: string,
  stead: Readonly<Record<string, string>> = {},
  timeoutMs?: number,
): Promise<Verdict> {
  for (const [program, body] of Object.entries(stead)) {
    writeFileSync(join(directory, program), `#!/bin/sh\n${body}\n`);
    chmodSync(join(directory, program), 0o755);
  }
  const path = `${directory}:${process.env.PATH}`;
  const ours: Run = (argv, limits) =>
    run(argv, { ...limits, ...(timeoutMs !== undefined && argv[0] in stead && { timeoutMs }), env: { PATH: path } });
  const tool = TOOLS.find((one) => nameOf(one) === name);
  if (!tool) throw new Error(`no tool ${name}`);
  return tryTool(tool, { run: ours, files, clock, path, whose: WHOSE, signal: AbortSignal.timeout(120_000) });
}

const trials = (): readonly string[] =>
  readdirSync('/tmp').filter((name) => name.startsWith(`flintlock-trial-${WHOSE}-`));

test.each(TOOLS.map((tool) => [nameOf(tool), tool.program]))(
  "this host's %s does what is needed",
  async (name, program) => {
    expect(await verdictOn(name)).toMatchObject({ is: 'works', path: expect.stringContaining(program) });
  },
);

// setpriv runs all the others; ss, dnsmasq, conntrack and dhcp_release are asked for nothing that could be looked at.
const LOOKED_AT = TOOLS.filter(
  ({ program }) => !['setpriv', 'ss', 'dnsmasq', 'dhcp_release', 'conntrack', 'fallocate'].includes(program),
);

test.each(LOOKED_AT.map((tool) => [nameOf(tool), tool.program]))(
  'a %s that ends well and does nothing is not believed',
  async (name, program) => {
    expect(await verdictOn(name, { [program]: 'exit 0' })).toMatchObject({
      is: 'broken',
      why: expect.stringMatching(/\w/),
    });
  },
);

test.each([
  [
    'mke2fs',
    'mke2fs',
    'case "$*" in *" -d "*) echo "mke2fs: invalid option -- \'d\'" >&2; exit 1;; esac; exit 0',
    /invalid option/,
  ],
  ['mke2fs', 'debugfs', 'exit 0', /debugfs did not set/],
  ['sync', 'sync', 'echo "sync: unrecognized option: file-system" >&2; exit 1', /unrecognized option: file-system/],
  ['du', 'du', 'echo "du: unrecognized option: inodes" >&2; exit 1', /unrecognized option: inodes/],
  ['dnsmasq', 'dnsmasq', 'echo "dnsmasq: bad command line options: dhcp-hostsdir" >&2; exit 1', /dhcp-hostsdir/],
  ['nft', 'nft', '[ "$1" = -j ] && { echo "JSON support not compiled-in" >&2; exit 1; }', /not compiled-in/],
  ['tar', 'tar', 'kill -SEGV $$', /ended by SIGSEGV/],
  ['dhcp_release', 'dhcp_release', 'echo "cannot open shared object file" >&2; exit 127', /shared object/],
])('%s: what %s says goes into the verdict', async (tool, program, body, words) => {
  expect(await verdictOn(tool, { [program]: body })).toMatchObject({ is: 'broken', why: expect.stringMatching(words) });
});

test('one that hangs is late, which is not missing; nothing of a trial stays', async () => {
  const before = trials();
  const late = await verdictOn('skopeo', { skopeo: 'while :; do sleep 0.1; done' }, 200);
  expect(late).toMatchObject({
    is: 'late',
    why: expect.stringMatching(/skopeo hangs, or this host is far too slow: skopeo did not end in 200 ms/),
  });
  expect(trials().filter((name) => !before.includes(name))).toEqual([]);
});

test('where there is no room to try it, nothing is said of the tool', async () => {
  const full = 'echo "mktemp: No space left on device" >&2; exit 1';
  expect(await verdictOn('sfdisk', { mktemp: full })).toMatchObject({
    ...{ is: 'untried', why: expect.stringMatching(/no room below \/tmp and \/run/) },
  });
  const other = 'printf "mktemp: unrecognized option\\n\\nUsage: mktemp [-d]\\n" >&2; exit 1';
  expect(await verdictOn('sfdisk', { mktemp: other })).toMatchObject({
    ...{ is: 'untried', isFull: false },
    why: expect.stringMatching(/^no directory can be made below \/tmp and \/run .*unrecognized option Usage/),
  });
  // What is written may find the first place full.
  const half = 'case "$*" in *run/*) exec /bin/mktemp "$@" ;; esac; echo "mktemp: Read-only file system" >&2; exit 1';
  expect(await verdictOn('sfdisk', { mktemp: half })).toMatchObject({ is: 'works' });
});

test('one that is nowhere is missing', async () => {
  const [tool] = TOOLS;
  if (!tool) throw new Error('no tools');
  const other = { ...tool, program: 'flintlock-no-such-program' };
  const options = { run, files, clock, path: '/usr/bin', whose: WHOSE, signal: AbortSignal.timeout(60_000) };
  expect(await tryTool(other, options)).toMatchObject({ is: 'missing' });
});

test('what a daemon that was killed left of its trials goes, and nobody else\u2019s', async () => {
  const left = mkdtempSync(`/tmp/flintlock-trial-${WHOSE}-`);
  const other = mkdtempSync(`/tmp/flintlock-trial-${WHOSE}b-`);
  try {
    writeFileSync(join(left, 'disk'), '');
    await removeOldTrials(files, WHOSE, clock);
    expect(trials()).toEqual([]);
    expect(readdirSync(other)).toEqual([]);
  } finally {
    rmSync(other, { recursive: true });
  }
});

test('what is an hour old is nobody\u2019s any more, unless another user made it', async () => {
  const [old, strangers, recent] = ['c', 'd', 'e'].map((letter) =>
    mkdtempSync(`/tmp/flintlock-trial-${WHOSE}${letter}-`),
  ) as [string, string, string];
  const ago = Date.now() / 1_000 - 3_700;
  try {
    writeFileSync(join(old, 'disk'), '');
    chownSync(strangers, 65_534, 65_534);
    for (const path of [old, strangers]) utimesSync(path, ago, ago);
    await removeOldTrials(files, WHOSE, clock);
    expect([old, strangers, recent].map((path) => existsSync(path))).toEqual([false, true, true]);
  } finally {
    for (const path of [old, strangers, recent]) rmSync(path, { recursive: true, force: true });
  }
});
