import { existsSync, readdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { ANY_KERNEL, DEMO_ROOT, poll, startHost, type TestHost } from '../support/daemon.ts';

/** A frame of upstream's protocol: its type, the length, the payload. */
function frame(type: number, payload: string): Buffer {
  const head = Buffer.from([type, 0, 0, 0, 0]);
  head.writeUInt32BE(Buffer.byteLength(payload), 1);
  return Buffer.concat([head, Buffer.from(payload)]);
}

/** As upstream's vsock-connect: CONNECT, one line that begins with OK, one request. @returns what came behind the line */
async function ask(path: string, request: object): Promise<string> {
  const socket = connect({ path });
  onTestFinished(() => void socket.destroy());
  socket.write('CONNECT 1024\n');
  let came = '';
  for await (const piece of socket) {
    const before = came.includes('\n');
    came += (piece as Buffer).toString('latin1');
    if (!before && came.includes('\n')) socket.write(frame(1, JSON.stringify({ version: 1, ...request })));
  }
  if (!came.startsWith('OK ')) throw new Error(`it was hung up on: ${came}`);
  return came.slice(came.indexOf('\n') + 1);
}

const sh = (cmd: string): object => ({
  op: 'exec',
  exec: { cmd, args: [], cwd: '', env: {}, shell: true, user: '', timeout_sec: 0, has_stdin: false },
});

async function create(host: TestHost, id: string, allowGuestAgent: boolean): Promise<string> {
  const { microvm } = await host.dropin.createMicroVM({
    microvm: {
      ...{ id, namespace: 'default', vcpu: 1, memoryInMb: 96, allowGuestAgent },
      kernel: { image: ANY_KERNEL, filename: '', cmdline: { quiet: '' } },
      initrd: { image: ANY_KERNEL },
      rootVolume: { id: 'root', source: { containerSource: DEMO_ROOT } },
      interfaces: [{ deviceId: 'eth0', type: 1 }],
    },
  });
  return microvm?.spec?.uid ?? '';
}

const pathOf = async (host: TestHost, uid: string): Promise<string> =>
  (await host.dropin.getMicroVM({ uid })).microvm?.status?.vsockPath ?? '';

test('today’s clients reach the agent by the socket that the status names, and nothing is left of it', async (t) => {
  const host = await startHost(t);
  const uid = await create(host, 'open', true);
  const closed = await create(host, 'closed', false);
  for (const one of [uid, closed]) await host.until(one, 'CREATED');
  const path = await pathOf(host, uid);
  expect(path).toBe(`${host.run}/${uid}/guest-agent.vsock`);
  expect(await pathOf(host, closed)).toBe('');
  expect((await host.vms.getMicroVM({ uid })).microvm?.spec?.providerOptions).toMatchObject({ agent: 'on' });

  const answers = (what: string) =>
    poll(`${what} answers at the socket`, 90_000, async () => {
      const said = await ask(path, { op: 'ping' }).catch(String);
      return said.endsWith('{"code":0}') ? { is: undefined } : { not: said };
    });
  await answers('the agent');
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect(await ask(path, sh('uname -n; exit 3'))).toBe(
    Buffer.concat([frame(4, 'open\n'), frame(6, '{"code":3}')]).toString('latin1'),
  );
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });

  await host.kill9();
  expect(existsSync(path)).toBe(true); // stale
  await host.start();
  await answers('the next daemon');
  expect(await host.stop()).toBe(0);
  expect(existsSync(path)).toBe(false);
  await host.start();
  await answers('the one after that');

  await host.dropin.deleteMicroVM({ uid });
  await poll('it is gone', 60_000, async () => {
    const found = await host.dropin.getMicroVM({ uid }).catch(String);
    return typeof found === 'string' ? { is: undefined } : { not: found.microvm?.status?.message ?? '' };
  });
  expect(readdirSync(host.run)).not.toContain(uid);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});
