import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Answered, askAll, makeExchanges } from '../../../test/stand-ins/firecracker/exchanges.ts';
import { makeStandIn } from '../../../test/stand-ins/firecracker/program.ts';

/** The real program, where there is one. */
const real = process.env.FLINTLOCK_TEST_FIRECRACKER ?? '';
const patiently = { timeout: 100_000, interval: 10 };

interface Begun {
  readonly child: ChildProcess;
  readonly socket: string;
}

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'fl-fc-same-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function begin(program: string, args: readonly string[], socket: string): Promise<Begun> {
  const child = spawn(program, ['--api-sock', socket, ...args], { stdio: ['ignore', 'ignore', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await expect.poll(() => existsSync(socket) || child.exitCode !== null, patiently).toBe(true);
  return { child, socket };
}

/** What differs from version to version is no difference, nor what its C library calls an error: releases have musl. */
const plain = (answers: readonly Answered[]) =>
  answers.map(({ text, ...answer }) => ({
    ...answer,
    text: text.replaceAll(/\d+\.\d+\.\d+(?:-dev)?/g, 'VERSION').replaceAll('Address already in use', 'Address in use'),
  }));

async function exchanged(program: string, files: string): Promise<ReturnType<typeof plain>> {
  const directory = makeDirectory();
  const { child, socket } = await begin(program, ['--id', 'same'], join(directory, 'api.sock'));
  const answers = await askAll(socket, makeExchanges(files));
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(existsSync(socket)).toBe(true); // it is left behind
  return plain(answers);
}

/** Which arguments end it, and with which status; a socket that is there is one of them. */
async function statusOf(program: string, args: readonly string[], socket: string): Promise<string> {
  const child = spawn(program, ['--api-sock', socket, ...args], { stdio: ['ignore', 'ignore', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [code, signal]: unknown[] = await once(child, 'exit');
  return String(signal ?? code);
}

const BAD_ARGUMENTS = [
  ['--nonesuch'],
  ['--id'],
  ['--id', 'a_b'],
  ['--id', 'a', '--id', 'b'],
  ['--level', 'Loud'],
  ['--metrics-path', '/nonesuch/metrics'],
] as const;

async function ends(program: string): Promise<readonly string[]> {
  const directory = makeDirectory();
  const taken = join(directory, 'taken');
  writeFileSync(taken, '');
  const statuses = [await statusOf(program, [], taken)];
  for (const [i, args] of BAD_ARGUMENTS.entries())
    statuses.push(await statusOf(program, args, join(directory, `${i}.sock`)));
  statuses.push(await statusOf(program, ['--version'], join(directory, 'version.sock')));
  return statuses;
}

test('the stand-in refuses what is wrong, and says what is right', async () => {
  const directory = makeDirectory();
  const answers = await exchanged(makeStandIn(directory), join(directory, 'files'));
  const asked = (path: string, body?: RegExp) =>
    answers.filter((one) => one.path === path && (body === undefined || body.test(one.body ?? '')));
  expect(asked('/')[0]).toMatchObject({
    ...{ status: 200, text: '{"id":"same","state":"Not started","vmm_version":"VERSION","app_name":"Firecracker"}' },
  });
  expect(asked('/machine-config', /cpus":2/)).toMatchObject([
    {
      status: 400,
      text: expect.stringContaining('unknown field `cpus`, expected one of `vcpu_count`, `mem_size_mib`'),
    },
  ]);
  expect(asked('/nonesuch')).toMatchObject([
    { status: 400, text: '{"fault_message":"Invalid request method and/or path: GET nonesuch."}' },
    { status: 400 },
  ]);
  expect(answers.filter(({ status }) => status === 204).length).toBeGreaterThan(8);
  expect(answers.filter(({ status }) => status === 400).length).toBeGreaterThan(50);
});

test('the stand-in ends as it should', async () => {
  expect(await ends(makeStandIn(makeDirectory()))).toEqual(['1', '153', '153', 'SIGABRT', '153', '152', '1', '0']);
});

test.skipIf(real === '')('the real program answers and ends as the stand-in does', async () => {
  const directory = makeDirectory();
  const standIn = makeStandIn(directory);
  const files = join(directory, 'files');
  expect(await exchanged(standIn, files)).toEqual(await exchanged(real, files));
  expect(await ends(standIn)).toEqual(await ends(real));
});
