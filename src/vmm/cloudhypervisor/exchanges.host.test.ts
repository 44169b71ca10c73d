import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { hasOf, seenOf } from '../../../test/stand-ins/cloudhypervisor/exchanges.ts';
import { makeStandIn } from '../../../test/stand-ins/cloudhypervisor/program.ts';
import { PATIENCE } from '../../../test/support/daemon.ts';

/** The real program, where there is one and /dev/kvm. */
const real = process.env.FLINTLOCK_TEST_CLOUDHYPERVISOR ?? '';
vi.setConfig({ testTimeout: 300_000 });

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fl-ch-same-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const seen = (...[program, files, has]: [string, string, Parameters<typeof seenOf>[3]?]) =>
  seenOf(program, files, AbortSignal.timeout(170_000 * PATIENCE), has);

test('the stand-in refuses what is wrong, and takes nearly all that has the right types', async () => {
  const directory = makeDirectory();
  const { answers, statuses, events, leaves } = await seen(makeStandIn(directory), join(directory, 'files'));
  const asked = (request: string) => answers.filter(({ path }) => path === `/api/v1/${request}`);
  expect(asked('vmm.ping')[0]).toMatchObject({ status: 200, told: ['build_version', 'features', 'pid', 'version'] });
  expect(asked('nonesuch')).toMatchObject([
    { status: 404, told: ['Not Found'] },
    { status: 404, told: ['Not Found'] },
  ]);
  const created = asked('vm.create').filter(({ method }) => method === 'PUT');
  expect(created.filter(({ status }) => status === 400)).toHaveLength(26);
  expect(created.filter(({ status }) => status === 204)).toHaveLength(11);
  expect(created.filter(({ status }) => status === 500)).toHaveLength(1);
  expect(asked('vm.boot').map(({ status }) => status)).toEqual([400, 404, 400, 400, 500, 500, 400, 400, 400, 400, 500]);
  expect(statuses).toEqual([0, 2, 2, 1, 0]);
  expect([events[0], events.at(-1)]).toEqual(['vmm starting', 'vmm shutdown']);
  expect(leaves).toEqual([false, true]);
});

test('the stand-in opens nothing else any more, once it has shut itself in', async () => {
  const directory = makeDirectory();
  const { answers } = await seen(makeStandIn(directory), join(directory, 'files'), { rules: true, landlock: true });
  const refusals = answers.filter(({ path, status }) => path === '/api/v1/vm.boot' && status === 500).slice(-3);
  expect(refusals.map(({ told }) => told[2])).toEqual([
    'Cannot load the kernel into memory',
    'Cannot open kernel file',
    'Cannot open kernel file',
  ]);
});

test.skipIf(real === '')('the real program answers and ends as the stand-in does', async () => {
  const directory = makeDirectory();
  const standIn = makeStandIn(directory);
  const has = await hasOf(real);
  const mine = await seen(standIn, join(directory, 'files'), has);
  rmSync(join(directory, 'files'), { recursive: true });
  expect(mine).toEqual(await seen(real, join(directory, 'files'), has));
});
