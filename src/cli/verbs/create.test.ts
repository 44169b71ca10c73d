import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create as message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { expect, onTestFinished, test } from 'vitest';
import { FAKE_UID, fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import { BadRequestSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { ImagePull_Policy, type MicroVMSpec, MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

const SPEC = 'id: web\nkernel: { image: "oci:/images/kernel:1" }\n';

/** A daemon that accepts everything, and keeps what it was given. */
async function accepting() {
  const specs: MicroVMSpec[] = [];
  const daemon = await startFakeDaemon({
    createMicroVM: ({ microvm }) => {
      if (microvm) specs.push(microvm);
      return { microvm: fakeVm({ id: microvm?.id ?? '' }, { state: State.PENDING, reason: 'Preparing' }) };
    },
    waitMicroVM: () => ({ microvm: fakeVm() }),
    getMicroVM: () => ({ microvm: fakeVm() }),
  });
  return { ...daemon, specs };
}

test('a spec from a file, in snake case', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'flintlock-cli-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, 'spec.yaml');
  await writeFile(file, `${SPEC}memory_in_mb: 96\nvolumes: [{ id: root, is_root: true }]\n`);
  const { address, specs } = await accepting();
  const result = await runCli(['--host', address, 'create', '-f', file]);
  expect(result).toMatchObject({ exit: 0, stdout: `default/web accepted, uid ${FAKE_UID}\n`, stderr: '' });
  expect(specs).toMatchObject([
    { id: 'web', memoryInMb: 96, kernel: { image: 'oci:/images/kernel:1' }, volumes: [{ isRoot: true }] },
  ]);
});

test('JSON in camel case from standard input, printed as JSON and nothing else', async () => {
  const { address, specs } = await accepting();
  const stdin = '{"spec": {"id": "web", "memoryInMb": 96, "restartPolicy": "NEVER"}}';
  const result = await runCli(['--host', address, 'create', '-f', '-', '-o', 'json'], { stdin });
  expect(result).toMatchObject({ exit: 0, stderr: '' });
  // PENDING is the zero of its enum: it is printed all the same
  expect(JSON.parse(result.stdout)).toMatchObject({
    spec: { uid: FAKE_UID, labels: {} },
    status: { state: 'PENDING' },
  });
  expect(specs).toMatchObject([{ id: 'web', memoryInMb: 96, restartPolicy: 2 }]);
});

test('--pull goes with a file too, and wins over what its documents say', async () => {
  const { address, specs } = await accepting();
  const stdin = 'id: a\npull_policy: always\n---\nid: b\n';
  const pull = async (...argv: readonly string[]): Promise<unknown> => {
    specs.splice(0);
    expect(await runCli(['--host', address, 'create', '-f', '-', ...argv], { stdin })).toMatchObject({ exit: 0 });
    return specs.map(({ pullPolicy }) => pullPolicy);
  };
  expect(await pull()).toEqual([ImagePull_Policy.ALWAYS, ImagePull_Policy.DEFAULT]);
  expect(await pull('--pull', 'never')).toEqual([ImagePull_Policy.NEVER, ImagePull_Policy.NEVER]);
  const wrong = await runCli(['create', '-f', '-', '--pull', 'newer'], { stdin });
  expect(wrong).toMatchObject({ exit: 2, stderr: expect.stringContaining('Write always, missing, never.') });
});

test('--provider and its options go with a file too, and win over what its documents say', async () => {
  const { address, specs } = await accepting();
  const stdin = 'id: a\nprovider: x\nprovider_options: { x.one: "1", x.two: "2" }\n---\nid: b\n';
  const argv = ['--provider', 'y', '--provider-option', 'x.two=3'];
  expect(await runCli(['--host', address, 'create', '-f', '-', ...argv], { stdin })).toMatchObject({ exit: 0 });
  expect(specs).toMatchObject([
    { provider: 'y', providerOptions: { 'x.one': '1', 'x.two': '3' } },
    { provider: 'y', providerOptions: { 'x.two': '3' } },
  ]);
  const wrong = await runCli(['create', '-f', '-', '--provider-option', '=3'], { stdin });
  expect(wrong).toMatchObject({ exit: 2, stderr: expect.stringContaining('Write KEY=VALUE') });
});

test('several documents: one that is refused does not keep the others from being created', async () => {
  const { address } = await startFakeDaemon({
    createMicroVM: ({ microvm }) => {
      if (microvm?.id === 'b') throw new ConnectError('microVM default/b exists already', Code.AlreadyExists);
      return { microvm: fakeVm({ id: microvm?.id ?? '' }) };
    },
  });
  const stdin = 'id: a\n---\nid: b\n---\nid: c\n---\n';
  const result = await runCli(['--host', address, 'create', '-f', '-', '-o', 'name'], { stdin });
  expect(result).toMatchObject({ exit: 1, stdout: 'default/a\ndefault/c\n' });
  expect(result.stderr).toContain(
    'flintlock: Cannot create default/b (standard input, document 2): microVM default/b exists already\n',
  );
});

test('what the daemon refuses is listed, one field a line', async () => {
  const { address } = await startFakeDaemon({
    createMicroVM: () => {
      const fieldViolations = [
        { field: 'kernel.image', description: 'must name an image' },
        { field: 'vcpu', description: 'is 900, must be at most 288' },
      ];
      const value = message(BadRequestSchema, { fieldViolations });
      throw new ConnectError('Invalid request: …', Code.InvalidArgument, undefined, [
        { desc: BadRequestSchema, value },
      ]);
    },
  });
  const result = await runCli(['--host', address, 'create', '-f', '-'], { stdin: SPEC });
  expect(result).toMatchObject({ exit: 1, stdout: '' });
  expect(result.stderr).toBe(
    'flintlock: Cannot create default/web (standard input): the daemon refuses it\n' +
      '  kernel.image: must name an image\n  vcpu: is 900, must be at most 288\n',
  );
});

test.for([
  { stdin: 'vcpus: 2', says: 'vcpus: there is no such field; did you mean vcpu?' },
  { stdin: 'memory: 96', says: 'memory: there is no such field; did you mean memory_in_mb?' },
  {
    stdin: 'volumes: [{ id: a, readOnly: true }]',
    says: 'volumes[0].readOnly: there is no such field; did you mean is_read_only?',
  },
  {
    stdin: 'volumes: [{ container_source: x }]',
    says: 'volumes[0].container_source: there is no such field; it belongs below source',
  },
  { stdin: 'kernel: vmlinuz', says: 'kernel: must be a mapping of fields, not "vmlinuz"' },
  { stdin: 'labels: { tier: 1 }', says: 'labels["tier"]: must be text, not the number 1: write "1"' },
  { stdin: 'vcpu: two', says: 'vcpu: must be a whole number of at most 2147483647, not "two"' },
  { stdin: 'interfaces: [{ type: VETH }]', says: 'interfaces[0].type: must be MACVTAP or TAP, not "VETH"' },
  { stdin: '{ "id": "a"', says: 'standard input: ' },
  { stdin: 'id: a\nid: b', says: 'Map keys must be unique' },
  { stdin: '', says: 'There is no spec in standard input' },
  { stdin: 'just words', says: 'the spec: must be a mapping of fields, not "just words"' },
  { stdin: 'memoryInMb: 1\nmemory_in_mb: 2', says: 'memory_in_mb: is given twice' },
])('a malformed spec is wrong usage: $stdin', async ({ stdin, says }) => {
  // nothing is sent: there is no daemon
  const result = await runCli(['--host', '127.0.0.1:1', 'create', '-f', '-'], { stdin });
  expect(result).toMatchObject({ exit: 2, stdout: '' });
  expect(result.stderr).toContain(says);
});

test('all that is wrong in all documents is said at once, and nothing is created', async () => {
  const { address, specs } = await accepting();
  const stdin = 'id: a\n---\nvcpus: 1\nkernel: { img: x }\n---\nid: 3\n';
  const result = await runCli(['--host', address, 'create', '-f', '-'], { stdin });
  expect(result.exit).toBe(2);
  expect(result.stderr).toMatch(
    /document 2: vcpus: .*\n.*document 2: kernel\.img: .*image.*\n.*document 3: id: must be text/,
  );
  expect(specs).toEqual([]);
});

test('a file that is not there is named', async () => {
  const result = await runCli(['create', '-f', '/nowhere/spec.yaml']);
  expect(result.exit).toBe(2);
  expect(result.stderr).toContain("no such file or directory, open '/nowhere/spec.yaml'");
});

test('--wait says that the guest runs, with its address', async () => {
  const { address } = await accepting();
  const result = await runCli(['--host', address, 'create', '-f', '-', '--wait'], { stdin: SPEC });
  expect(result.exit).toBe(0);
  expect(result.stdout).toMatch(/accepted.*\ndefault\/web is CREATED after \d\.\d s, address 10\.77\.0\.2\n$/);
});

test('--wait=agent waits for that; behind a blank it is a name', async () => {
  const asked: number[] = [];
  const { address } = await startFakeDaemon({
    createMicroVM: () => ({ microvm: fakeVm({}, { state: State.PENDING }) }),
    waitMicroVM: ({ until }) => {
      asked.push(until);
      return { microvm: fakeVm() };
    },
  });
  const create = (...words: string[]) => runCli(['--host', address, 'create', ...words], { stdin: SPEC });
  expect((await create('-f', '-', '--wait=agent')).exit).toBe(0);
  expect(asked).toEqual([7]);
  expect(await create('-f', '-', '--wait', 'agent')).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('agent'),
  });
  expect(await create('-f', '-', '--wait=nothing')).toMatchObject({ exit: 2 });
});

test('--wait says where the guest has not applied what only it can do', async () => {
  const conditions = [{ type: 'GuestConfigured', status: 'Unknown', message: 'The guest has not said\x1b[2J' }];
  const { address } = await startFakeDaemon({
    createMicroVM: () => ({ microvm: fakeVm({}, { state: State.PENDING }) }),
    waitMicroVM: () => ({ microvm: fakeVm({}, { conditions }) }),
  });
  const result = await runCli(['--host', address, 'create', '-f', '-', '--wait'], { stdin: SPEC });
  expect(result.exit).toBe(0);
  expect(result.stdout).toMatch(/is CREATED after .*\n {2}GuestConfigured is Unknown: The guest has not said\S+\n$/);
  expect(result.stdout).not.toContain('\x1b');
});

test('--wait shows on standard error what goes on', async () => {
  const seen = Promise.withResolvers<void>();
  const progress = {
    step: 'image',
    since: { seconds: BigInt(Math.floor(Date.now() / 1000)), nanos: 0 },
    doneBytes: 12n << 20n,
    totalBytes: 45n << 20n,
  };
  const { address } = await startFakeDaemon({
    createMicroVM: () => ({ microvm: fakeVm() }),
    getMicroVM: () => ({ microvm: fakeVm({}, { state: State.PENDING, reason: 'Preparing', progress }) }),
    waitMicroVM: async () => {
      await seen.promise;
      return { microvm: fakeVm() };
    },
  });
  const onWrite = (all: string): void => {
    if (all.includes('MiB')) seen.resolve();
  };
  const argv = ['--host', address, 'create', '-f', '-', '--wait', '-o', 'json'];
  const result = await runCli(argv, { stdin: SPEC, onWrite });
  expect(result.exit).toBe(0);
  expect(JSON.parse(result.stdout).status.state).toBe('CREATED');
  expect(result.stderr).toMatch(/^default\/web is PENDING \(Preparing\): image 12\.0 MiB of 45\.0 MiB, \d\.\d s\n$/);
});

test('--wait ends with 5 and the console when the microVM is FAILED, and prints its record', async () => {
  const failed = fakeVm(
    {},
    {
      state: State.FAILED,
      reason: 'GuestPanic',
      message: 'The guest panicked',
      consoleTail: 'boot\r\nKernel panic\x1b[2J\r\n',
    },
  );
  const { address } = await startFakeDaemon({
    createMicroVM: () => ({ microvm: fakeVm() }),
    getMicroVM: () => ({ microvm: failed }),
    waitMicroVM: () => {
      throw new ConnectError('it will not be CREATED', Code.FailedPrecondition);
    },
  });
  const result = await runCli(['--host', address, 'create', '-f', '-', '--wait', '-o', 'json'], { stdin: SPEC });
  expect(result.exit).toBe(5);
  expect(JSON.parse(result.stdout).status.state).toBe('FAILED');
  expect(result.stderr).toContain('default/web is FAILED (GuestPanic): The guest panicked\n');
  expect(result.stderr).toContain('| boot\n  | Kernel panic\\x1b[2J\n');
});

test('Ctrl-C of --wait deletes nothing and says so', async () => {
  const stop = new AbortController();
  const { address } = await startFakeDaemon({
    createMicroVM: () => ({ microvm: fakeVm() }),
    getMicroVM: () => ({ microvm: fakeVm() }),
    waitMicroVM: () => {
      stop.abort(new Error('interrupted'));
      return new Promise(() => undefined);
    },
  });
  const argv = ['--host', address, 'create', '-f', '-', '--wait', '-o', 'name'];
  const result = await runCli(argv, { stdin: SPEC, interrupt: stop.signal });
  expect(result).toMatchObject({ exit: 1, stdout: 'default/web\n' });
  expect(result.stderr).toMatch(/^flintlock: Stopped waiting for default\/web; it is not deleted and goes on\n/);
});

test('--idempotency-key goes along, for one microVM only', async () => {
  const keys: string[] = [];
  const { address } = await startFakeDaemon({
    createMicroVM: ({ idempotencyKey }) => {
      keys.push(idempotencyKey);
      return { microvm: fakeVm() };
    },
  });
  const argv = ['--host', address, 'create', '-f', '-', '--idempotency-key', 'job-7'];
  expect(await runCli(argv, { stdin: SPEC })).toMatchObject({ exit: 0 });
  expect(await runCli(argv, { stdin: `${SPEC}---\nid: b\n` })).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('An idempotency key is for one microVM: here are 2'),
  });
  expect(keys).toEqual(['job-7']);
});

test('--dry-run prints what the daemon would do, of each document, and what it would refuse', async () => {
  const only: boolean[] = [];
  const { address } = await startFakeDaemon({
    createMicroVM: ({ microvm, validateOnly }) => {
      only.push(validateOnly);
      if (microvm?.id === 'b') throw new ConnectError('microVM default/b exists already', Code.AlreadyExists);
      return { microvm: fakeVm({ id: microvm?.id ?? '', uid: '' }), plan: ['tap eth0: make it', 'vmm: start it'] };
    },
  });
  const argv = ['--host', address, 'create', '-f', '-', '--dry-run'];
  const text = await runCli(argv, { stdin: `${SPEC}---\nid: b\n` });
  expect(text).toMatchObject({
    exit: 1,
    stdout: 'default/web would be created:\n  tap eth0: make it\n  vmm: start it\n',
    stderr: expect.stringContaining('microVM default/b exists already'),
  });
  const json = await runCli([...argv, '-o', 'json'], { stdin: SPEC });
  expect(JSON.parse(json.stdout)).toMatchObject({ plan: ['tap eth0: make it', 'vmm: start it'] });
  expect(await runCli([...argv, '-o', 'name'], { stdin: SPEC })).toMatchObject({ exit: 0, stdout: 'default/web\n' });
  expect(new Set(only)).toEqual(new Set([true]));
});
