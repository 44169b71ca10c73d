import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createProgram, type Options } from './command-line.ts';
import { configure } from './config.ts';
import { insteadOf } from './former.ts';
import { SETTING_NAMES } from './settings.ts';

test('a setting of flintlock in Go is told what to do instead, wherever it stands', () => {
  expect(insteadOf('containerd-socket')).toContain('leave it out');
  expect(insteadOf('--deleteMicroVM-timeout')).toContain('until nothing is left');
  expect(insteadOf('FLINTLOCKD_FIRECRACKER_DETACH')).toContain('outlives the daemon');
  expect(insteadOf('firecracker-bin')).toBeUndefined(); // it is one of ours
  expect(insteadOf('state-dir')).toBeUndefined();
  expect(() => configure({ insecure: true }, { FLINTLOCKD_CONTAINERD_NS: 'x' }, undefined)).toThrow(
    /unknown environment variable FLINTLOCKD_CONTAINERD_NS: images are fetched without containerd/,
  );
});

test('flags are taken as Go writes them', async () => {
  const seen: unknown[] = [];
  const refuse = async (): Promise<void> => expect.unreachable();
  const run = async (options: Options, wrong: readonly string[]): Promise<void> =>
    void seen.push([options.insecure, options.verbosity, wrong]);
  for (const argv of [
    ['--insecure=true', '-v', '9'],
    ['--insecure', '-v9'],
    ['--insecure=1', '--verbosity=9'],
    ['--insecure=false', '--verbosity', '9'],
    ['--insecure=maybe', '--enable-http', '--log-output=stderr', '--debug-endpoint', 'localhost:6060'],
  ])
    await createProgram('0', { run, tearDown: refuse, example: () => undefined }).parseAsync(['run', ...argv], {
      from: 'user',
    });
  expect(seen).toEqual([
    [true, '9', []],
    [true, '9', []],
    [true, '9', []],
    [false, '9', []],
    [
      'maybe',
      undefined,
      [
        expect.stringMatching(/unknown flag --enable-http: HTTP is served beside gRPC/),
        expect.stringMatching(/unknown flag --log-output=stderr: the log goes to standard error/),
        expect.stringMatching(/unknown flag --debug-endpoint: there is no pprof/),
      ],
    ],
  ]);
});

test('none of them is a setting of ours, and the page of who moves over has each', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/from-flintlock-go.md'), 'utf8');
  const former = [...page.matchAll(/`--([A-Za-z-]+)`/g)].map(([, name = '']) => name);
  const known: readonly string[] = [...SETTING_NAMES, 'config', 'config-check'];
  const unknown = former.filter((name) => !known.includes(name));
  expect(unknown.filter((name) => insteadOf(name) === undefined)).toEqual([]);
  expect(unknown).toContain('containerd-socket');
});
