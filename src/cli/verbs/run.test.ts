import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import { FAKE_UID, fakeVm, startFakeDaemon } from '../../../test/support/fake-daemon.ts';
import { runCli } from '../../../test/support/run-cli.ts';
import type { MicroVMService } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { type MicroVMSpec, MicroVMStatus_MicroVMState as State } from '../../gen/types/microvm_pb.ts';

type Vms = Partial<ServiceImpl<typeof MicroVMService>>;
const info = { demoKernel: 'oci:/demo:kernel', managedNetwork: '10.77.0.0/24' };
const stopped = fakeVm({}, { state: State.STOPPED, reason: 'GuestShutdown', message: 'The guest powered itself off' });

/** A daemon whose guest echoes what is typed, and powers off at "poweroff". */
async function host(replaced: Vms = {}, serverInfo: object = info) {
  const seen = { typed: '', deleted: [] as string[], specs: [] as (MicroVMSpec | undefined)[], attached: false };
  const daemon = await startFakeDaemon(
    {
      createMicroVM: ({ microvm }) => {
        seen.specs.push(microvm);
        return { microvm: fakeVm() };
      },
      waitMicroVM: () => ({ microvm: fakeVm() }),
      getMicroVM: () => ({ microvm: stopped }),
      deleteMicroVM: ({ uid }) => {
        seen.deleted.push(uid);
        return {};
      },
      async *attachConsole(requests) {
        seen.attached = true;
        yield { data: Buffer.from('login: ') };
        for await (const { data } of requests) {
          seen.typed += Buffer.from(data).toString();
          yield { data: new Uint8Array(data) };
          if (seen.typed.includes('poweroff')) return;
        }
      },
      ...replaced,
    },
    { serverInfo: () => serverInfo },
  );
  return { ...daemon, seen };
}

/** Pieces that are typed one after the other; then nobody types any more. */
async function* keys(...pieces: string[]): AsyncGenerator<string> {
  yield* pieces;
  await new Promise(() => undefined);
}

test('boots with the demo kernel, sends standard input as it is, and deletes at the end', async () => {
  const { address, seen } = await host();
  const argv = ['--host', address, 'run', '--rm', 'oci:/r:1', '--name', 'x', '--publish', '8080:80'];
  const result = await runCli(argv, { stdin: '~.\x1d poweroff\n' });
  expect(result).toMatchObject({ exit: 0, stdout: 'login: ~.\x1d poweroff\n', stderr: '' });
  expect(seen.deleted).toEqual([FAKE_UID]);
  expect(seen.specs[0]).toMatchObject({
    id: 'x',
    vcpu: 1,
    memoryInMb: 256,
    kernel: { image: 'oci:/demo:kernel' },
    initrd: { image: 'oci:/demo:kernel' },
    volumes: [{ id: 'root', isRoot: true, source: { containerSource: 'oci:/r:1' } }],
    interfaces: [{ guestDeviceName: 'eth0', publishedPorts: [{ hostPort: 8080, guestPort: 80 }] }],
  });
});

test('without a network there is no interface, and a kernel of ones own brings no initrd', async () => {
  const { address, seen } = await host({}, { demoKernel: '', managedNetwork: '' });
  const argv = ['--host', address, 'run', 'oci:/r:1'];
  const without = await runCli(argv);
  expect(without.exit).toBe(2);
  expect(without.stderr).toContain('This daemon knows no demo kernel\nStart flintlockd with --demo-kernel REF');
  const result = await runCli([...argv, '--kernel-image', 'oci:/k:1'], { stdin: 'poweroff' });
  expect(result.exit).toBe(0);
  expect(seen.specs).toHaveLength(1);
  expect(seen.specs[0]?.initrd).toBeUndefined();
  expect(seen.specs[0]?.interfaces).toEqual([]);
  expect(seen.deleted).toEqual([]);
});

test('on a terminal Ctrl-C is the guests, and Ctrl-] leaves it alone', async () => {
  const { address, seen } = await host();
  const raw: boolean[] = [];
  const argv = ['--host', address, 'run', '--rm', 'oci:/r:1'];
  const result = await runCli(argv, {
    typed: (async function* () {
      yield* ['ls\r', '\x03', 'cd ~', '\r'];
      while (!seen.typed.endsWith('~\r')) await new Promise(setImmediate);
      yield '\x1d';
    })(),
    terminal: true,
    onRaw: (on) => raw.push(on),
  });
  expect(result.exit).toBe(0);
  expect(seen.typed).toBe('ls\r\x03cd ~\r');
  expect(raw).toEqual([true, false]);
  expect(seen.deleted).toEqual([]);
  expect(result.stderr).toContain(
    'Detached: default/web goes on and is not deleted. Next: flintlock console -i default/web',
  );
});

test('a guest that dies is exit status 5, and --rm deletes it all the same', async () => {
  const failed = fakeVm({}, { state: State.FAILED, reason: 'GuestPanic', message: 'The guest panicked' });
  const { address, seen } = await host({ getMicroVM: () => ({ microvm: failed }) });
  const result = await runCli(['--host', address, 'run', '--rm', 'oci:/r:1'], { stdin: 'poweroff' });
  expect(result.exit).toBe(5);
  expect(result.stderr).toBe('flintlock: default/web is FAILED (GuestPanic): The guest panicked\n');
  expect(seen.deleted).toEqual([FAKE_UID]);
});

test.for([{ rm: true }, { rm: false }])('Ctrl-C before it runs, rm: $rm', async ({ rm }) => {
  const stop = new AbortController();
  const { address, seen } = await host({
    waitMicroVM: ({ until }) => {
      if (until === 3) return { microvm: stopped };
      stop.abort(new Error('interrupted'));
      return new Promise(() => undefined);
    },
    getMicroVM: () => ({ microvm: fakeVm({}, { state: State.PENDING, reason: 'Preparing' }) }),
  });
  const argv = ['--host', address, 'run', ...(rm ? ['--rm'] : []), 'oci:/r:1'];
  const result = await runCli(argv, { interrupt: stop.signal });
  expect(result.exit).toBe(1);
  expect(seen.attached).toBe(false);
  expect(seen.deleted).toEqual(rm ? [FAKE_UID] : []);
  expect(result.stderr).toContain(rm ? 'interrupted; default/web is being deleted' : 'it is not deleted and goes on');
});

test('what has ended before anybody was attached is read', async () => {
  const { address, seen } = await host({
    waitMicroVM: ({ until }) => {
      if (until === 3) return { microvm: stopped };
      throw new ConnectError('it will not be CREATED', Code.FailedPrecondition);
    },
    attachConsole: () => {
      throw new ConnectError('it is STOPPED', Code.FailedPrecondition);
    },
    async *readConsole() {
      yield { data: Buffer.from('done\r\n') };
    },
  });
  const result = await runCli(['--host', address, 'run', '--rm', 'oci:/r:1']);
  expect(result).toMatchObject({ exit: 0, stdout: 'done\r\n' });
  expect(seen.deleted).toEqual([FAKE_UID]);
});

test('--after holds standard input until the guest has written a text, in pieces or not', async () => {
  const heard: string[] = [];
  const { address } = await host({
    async *attachConsole(requests) {
      const messages = requests[Symbol.asyncIterator]();
      await messages.next();
      const typed = messages.next().then(({ value }) => heard.push(`${Buffer.from(value?.data ?? [])}`));
      for (const text of ['booting', ' guest', ': u', 'p\r\n']) {
        heard.push(text);
        yield { data: Buffer.from(text) };
        await new Promise(setImmediate);
      }
      await typed;
    },
  });
  const argv = ['--host', address, 'run', '--after', 'guest: up', 'oci:/r:1'];
  expect(await runCli(argv, { stdin: 'ls\n' })).toMatchObject({ exit: 0, stdout: 'booting guest: up\r\n' });
  expect(heard).toEqual(['booting', ' guest', ': u', 'p\r\n', 'ls\n']);
});

test('console -i types, and says how it ended', async () => {
  const { address, seen } = await host({ getMicroVM: () => ({ microvm: fakeVm() }) });
  const left = await runCli(['--host', address, 'console', '-i', 'web'], { typed: keys('a\r~.'), terminal: true });
  expect(left.exit).toBe(0);
  expect(left.stderr).toContain('Detached from default/web, which goes on.');
  const over = await runCli(['--host', address, 'console', '-i', 'web'], { stdin: 'poweroff\n' });
  expect(over).toMatchObject({ exit: 0, stdout: 'login: poweroff\n' });
  expect(seen.typed).toContain('a\rpoweroff\n');
});
