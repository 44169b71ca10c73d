import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const PROGRAM = join(import.meta.dirname, '../../bin/flintlockd');

function daemon(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return new Promise<{ code: number; out: string; err: string }>((done) => {
    const options = { env: { PATH: process.env.PATH, ...env }, timeout: 30_000 };
    const child = execFile(PROGRAM, argv, options, (_, out, err) => done({ code: child.exitCode ?? -1, out, err }));
  });
}

test.concurrent('all that is wrong with flags, environment and file is told at once, and nothing starts', async () => {
  const argv = ['run', '--state-dr', '/x', '--verbosity', 'loud', '--config', '/nowhere.yaml'];
  const { code, out, err } = await daemon(argv, { FLINTLOCKD_RUNDIR: '/y', FLINTLOCKD_QEMU_ACPI: 'maybe' });
  expect({ code, out }).toEqual({ code: 1, out: '' });
  const [head, ...lines] = err.trimEnd().split('\n  ');
  expect(head).toBe('flintlockd: Bad configuration:');
  expect(lines).toEqual([
    'unknown flag --state-dr: did you mean --state-dir?',
    expect.stringContaining('Cannot read the configuration file /nowhere.yaml: ENOENT'),
    'unknown environment variable FLINTLOCKD_RUNDIR: did you mean FLINTLOCKD_RUN_DIR?',
    expect.stringContaining('FLINTLOCKD_QEMU_ACPI: '),
    expect.stringContaining('--verbosity: '),
    expect.stringContaining('--grpc-endpoint localhost:9090 would serve plain text'),
  ]);
});

test.concurrent('--config-check prints and ends, without root and without a trace', async () => {
  const argv = ['run', '--insecure', '--config-check'];
  const text = await daemon(argv, { FLINTLOCKD_IMAGE_ROOT: '/a,/b' });
  expect(text).toMatchObject({ code: 0, err: '' });
  expect(text.out).toContain('insecure: true # flag\n');
  expect(text.out).toContain('image-root: [ /a, /b ] # environment\n');
  const json = await daemon([...argv, 'json']);
  expect(JSON.parse(json.out).insecure).toEqual({ value: true, source: 'flag' });
});

test.concurrent('an unexpected argument is refused', async () => {
  expect((await daemon(['run', 'now', '--insecure'])).err).toBe(
    'flintlockd: Bad configuration: unexpected argument "now"\n',
  );
});

test.concurrent('the example file is taken as it is', async () => {
  const { code, out } = await daemon(['config-example']);
  expect(code).toBe(0);
  expect(out).toMatch(/^# Settings of flintlockd/);
});
