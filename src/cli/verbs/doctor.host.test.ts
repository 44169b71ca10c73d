import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runCli } from '../../../test/support/run-cli.ts';

test('doctor needs no daemon, and leaves nothing behind', async () => {
  const interfaces = readdirSync('/sys/class/net');
  const argv = ['--host', 'unix:///nowhere', 'doctor'];
  const { exit, stdout } = await runCli([...argv, '-o', 'json']);
  const report = JSON.parse(stdout);
  expect(exit).toBe(report.ok ? 0 : 1);
  expect(report.checks.length).toBeGreaterThan(15);
  for (const check of report.checks)
    expect(check).toEqual({
      name: expect.any(String),
      status: expect.stringMatching(/^(ok|warn|fail)$/),
      found: expect.any(String),
      fix: expect.any(String),
    });
  expect(report.checks.find(({ name }: { name: string }) => name === 'skopeo').found).toMatch(/skopeo \d+\./);
  expect(readdirSync('/sys/class/net')).toEqual(interfaces);
  const text = await runCli(argv);
  expect(text.stdout).toMatch(/^warn +daemon +unix:\/\/\/nowhere does not answer/m);
  expect(text.stdout).toContain(`${report.checks.length} checks: `);
});
