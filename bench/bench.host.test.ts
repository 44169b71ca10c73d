/** The bench's own instruments: one that measures wrongly says nothing, and says it with figures. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import {
  GetMicroVMResponseSchema,
  ListMessageSchema,
  ListMicroVMsResponseSchema,
} from '../src/gen/flintlock/microvm/v1/microvms_pb.ts';
import { connectQmp, type QmpEvent } from '../src/vmm/qemu/qmp.ts';
import { OverlayBytes } from './floor/overlay.ts';
import { FloorQmp } from './floor/qmp.ts';
import { startBare } from './measure/bare.ts';
import { ExecWatch, monotonic } from './measure/execs.ts';
import { STUB } from './measure/lab.ts';
import { Wire } from './measure/wire.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flintlock-bench-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const never = new AbortController().signal;

/** Ends with the test. */
function startStub(...more: readonly string[]): { child: ChildProcess; qmp: string; console: string } {
  const [qmp, console] = [join(directory, 'qmp.sock'), join(directory, 'console.log')];
  const sockets = [
    ...['-chardev', `socket,id=qmp,path=${qmp},server=on,wait=off`],
    ...['-chardev', `socket,id=console,path=${directory}/console.sock,server=on,wait=off,logfile=${console}`],
  ];
  const argv = ['setpriv', '--no-new-privs', STUB, '-name', 'guest=01STUB', ...sockets, ...more];
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, qmp, console };
}

test('the stub VMM speaks as the daemon expects of QEMU, to one after the other', async () => {
  const { child, qmp: path, console } = startStub('-S');
  (await FloorQmp.connect(path)).close();
  const events: QmpEvent[] = [];
  const qmp = await connectQmp(path, { signal: never, onEvent: (event) => events.push(event) });
  expect(await qmp.execute('query-status')).toEqual({ status: 'prelaunch', running: false });
  await qmp.execute('cont');
  expect(await qmp.execute('query-status')).toEqual({ status: 'running', running: true });
  await qmp.execute('stop');
  expect(await qmp.execute('query-blockstats')).toEqual([]);
  expect(readFileSync(console, 'utf8')).not.toBe('');
  const ended = once(child, 'exit');
  await qmp.execute('system_powerdown');
  expect(await ended).toEqual([0, null]);
  await qmp.closed;
  expect(events.map(({ event }) => event)).toEqual(['RESUME', 'STOP', 'SHUTDOWN']);
});

test("what is no microVM's start, and the daemon's trial, goes to the real QEMU", () => {
  const version = (program: string): string => execFileSync(program, ['--version'], { encoding: 'utf8' });
  expect(version(STUB)).toBe(version('qemu-system-x86_64'));
  const trial = spawnSync(STUB, ['-name', 'guest=flintlock-trial', '-chardev', `socket,id=qmp,path=${directory}/q`]);
  // Of the stub there would be a socket, and no end.
  expect(trial.status).not.toBe(0);
  expect(String(trial.stderr)).toContain('qemu-system-x86_64');
});

test('a VMM is seen to run when its own program does, by the clock that all share', async () => {
  using watch = await ExecWatch.start(directory);
  const { seen } = await watch.look(1);
  const before = monotonic();
  const { qmp } = startStub();
  const at = (await seen).get('01STUB') ?? Number.NaN;
  expect(at).toBeGreaterThan(before);
  expect(at).toBeLessThanOrEqual(monotonic());
  (await FloorQmp.connect(qmp)).close();
});

test("an overlay that is written by hand is the tool's own", () => {
  const [backing, made] = [join(directory, 'backing'), join(directory, 'made')];
  writeFileSync(backing, Buffer.alloc(4 << 20, 7));
  new OverlayBytes(backing, join(directory, 'template')).write(made);
  expect(existsSync(join(directory, 'template'))).toBe(false);
  const run = (...args: readonly string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' });
  expect(run('check', made)).toContain('No errors');
  expect(run('compare', '-f', 'raw', '-F', 'qcow2', backing, made)).toContain('identical');
});

test('calls are counted as they are answered, and a refusal is an error', async () => {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const get = toBinary(GetMicroVMResponseSchema, create(GetMicroVMResponseSchema, { microvm: { version: 7 } }));
  const message = toBinary(ListMessageSchema, create(ListMessageSchema, { microvm: { version: 8 } }));
  const list = toBinary(ListMicroVMsResponseSchema, create(ListMicroVMsResponseSchema));
  const answers = { get: base64(get), list: base64(list), message: base64(message), times: 3_000 };
  using bare = await startBare(answers);
  using wire = await Wire.open(bare.port);
  expect((await wire.call('GetMicroVM', new Uint8Array())).message).toEqual(Buffer.from(get));
  const stream = await wire.call('ListMicroVMsStream', new Uint8Array());
  expect(stream).toMatchObject({ messages: 3_000, bytes: 3_000 * (message.length + 5), message: Buffer.from(message) });
  await expect(wire.call('DeleteMicroVM', new Uint8Array())).rejects.toThrow('DeleteMicroVM: 12');
});

test('any command line is measured to its line, and one that ends before it is told', () => {
  const measure = (...argv: readonly string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, 'boot-line.ts'), ...argv], { encoding: 'utf8' });
  const shell = ['--', 'sh', '-c'];
  const good = measure(
    '--runs',
    '2',
    '--line',
    'hello',
    ...shell,
    'echo hel; printf lo >&2; echo hello; exec sleep 60',
  );
  expect(good.stdout).toMatch(/^[\d.]+ \/ [\d.]+ \/ [\d.]+ ms, min \/ median \/ p99 of 2\n$/);
  const file = join(directory, 'console');
  const written = measure(
    '--runs',
    '1',
    '--line',
    'up',
    '--console',
    file,
    ...shell,
    `echo up > ${file}; exec sleep 60`,
  );
  expect(written.status).toBe(0);
  const early = measure('--line', 'hello', ...shell, 'exit 3');
  expect(early.status).not.toBe(0);
  expect(early.stderr).toContain('ended with 3 before the line came');
  expect(measure('--runs', '0', '--', 'true').status).toBe(2);
});
