import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { poll, ROOT, startHost, type TestHost } from '../support/daemon.ts';
import { type DropinVm, Grpcio, RpcError } from './grpcio.ts';

/**
 * What today's clients do inside of a guest, by gRPC's C core with messages from the server's own descriptions: battery's wait for a guest that
 * takes commands, and flintlock-runner's jobs.
 */
const EXEC = 'microvmexec.services.api.v1alpha1.MicroVMExec';
const SSH = 'microvmsshproxy.services.api.v1alpha1.MicroVMSSHProxy';
/** As the clients wait for a guest that takes commands. */
const READY_MS = 120_000;

interface Answer {
  readonly stdout?: string;
  readonly stderr?: string;
  readonly exit_code?: number;
  readonly data?: string;
}

describe('inside of a guest', () => {
  let host: TestHost;
  let client: Grpcio;
  let uid: string;

  const run = async (start: object, ...more: object[]) => {
    const answers = await client.converse<Answer>(EXEC, 'ExecCommand', [{ start: { uid, ...start } }, ...more]);
    const text = (name: 'stdout' | 'stderr') =>
      Buffer.concat(answers.map((one) => Buffer.from(one[name] ?? '', 'base64'))).toString();
    return { code: answers.at(-1)?.exit_code, out: text('stdout'), err: text('stderr') };
  };
  const create = async (id: string, allow: boolean): Promise<DropinVm> => {
    const image = `oci:${ROOT}/.cache/images/demo`;
    return client.create({
      microvm: {
        ...{ id, namespace: 'pool', vcpu: 1, memory_in_mb: 96, allow_guest_agent: allow },
        ...{ kernel: { image: `${image}:kernel` }, initrd: { image: `${image}:kernel` } },
        root_volume: { id: 'root', source: { container_source: `${image}:root` } },
      },
    });
  };

  const ends: (() => unknown)[] = [];
  afterAll(async () => {
    client?.[Symbol.dispose]();
    for (const end of ends) await end();
  });
  beforeAll(async () => {
    host = await startHost({ onTestFinished: (end) => void ends.push(end as () => unknown) });
    client = new Grpcio(host, { target: `unix:${host.socket}` });
    const { spec } = await create('pool-0a1b2c3d', true);
    uid = spec?.uid ?? '';
    await client.untilCreated(uid);
    // battery: `true` by a shell each second, with its side of the stream closed behind the first message.
    await poll('battery finds the guest ready', READY_MS, async () => {
      try {
        const { code } = await run({ cmd: 'true', shell: true });
        return code === 0 ? { is: undefined } : { not: `it ended with ${code}` };
      } catch (error) {
        // It tries again after whatever is said, once the microVM takes exec at all.
        if (error instanceof RpcError && error.code === 'FAILED_PRECONDITION') return { not: error.details };
        throw error;
      }
    });
  }, 2 * READY_MS);

  test('battery: a command of the pool’s template, both outputs, and its status', async () => {
    expect(await run({ cmd: 'echo out; echo err >&2; exit 7', shell: true })).toEqual({
      ...{ code: 7, out: 'out\n', err: 'err\n' },
    });
    expect(await run({ cmd: '/no/such' })).toMatchObject({ code: 127, err: expect.stringContaining('not found') });
  });

  test('flintlock-runner: a script on standard input, with directory, variables, user and a limit', async () => {
    const script = 'pwd; id -u; echo $JOB; cat >/dev/null; head -c 300000 /dev/zero';
    const stdin = Buffer.from('x'.repeat(200_000)).toString('base64');
    const start = { cmd: 'sh', args: ['-c', script], cwd: '/tmp', env: { JOB: '17' }, user: '7', has_stdin: true };
    const { code, out } = await run(start, { stdin }, { stdin_eof: true });
    expect({ code, begin: out.slice(0, 10), bytes: out.length }).toEqual({
      code: 0,
      begin: '/tmp\n7\n17\n',
      bytes: 300_010,
    });
    expect((await run({ cmd: 'sleep', args: ['60'], timeout_seconds: 1 })).code).toBe(143);
  });

  test('flintlock-runner: SSH goes to port 22 of the guest, and each side ends by itself', async () => {
    await run({
      // It returns once somebody listens.
      cmd:
        '(exec nc -ll -p 22 -e sh -c "echo SSH-2.0-test; cat" &) >/dev/null 2>&1 </dev/null; ' +
        'until grep -qs ":0016 0*:0000 0A" /proc/net/tcp /proc/net/tcp6; do usleep 20000; done',
      shell: true,
    });
    const said = [{ uid }, { data: Buffer.from('SSH-2.0-runner\r\n').toString('base64') }];
    const more = { data: Buffer.from('and more').toString('base64') };
    const answers = await client.converse<Answer>(SSH, 'SSHProxy', said, [more]);
    const text = Buffer.concat(answers.map(({ data = '' }) => Buffer.from(data, 'base64'))).toString();
    expect(text).toBe('SSH-2.0-test\nSSH-2.0-runner\r\nand more');
  });

  test('what is refused has the words and codes that they look for', async () => {
    const refused = (code: string, words: string) => ({ code, details: expect.stringContaining(words) });
    await expect(client.converse(EXEC, 'ExecCommand', [{ stdin: '' }])).rejects.toMatchObject(
      refused('INVALID_ARGUMENT', 'start'),
    );
    await expect(client.converse(EXEC, 'ExecCommand', [{ start: { uid } }])).rejects.toMatchObject(
      refused('INVALID_ARGUMENT', 'cmd'),
    );
    await expect(client.converse(SSH, 'SSHProxy', [{ data: '' }])).rejects.toMatchObject(
      refused('INVALID_ARGUMENT', 'uid'),
    );
    const other = (await create('without', false)).spec?.uid ?? '';
    const start = { uid: other, cmd: 'true' };
    await expect(client.converse(EXEC, 'ExecCommand', [{ start }])).rejects.toMatchObject(
      refused('FAILED_PRECONDITION', 'microvm was not created with guest agent access enabled'),
    );
    const { answer } = await client.call<{ version?: { version?: string } }>('ServerInfo', {});
    // battery's rule: what is behind + is stripped, and v0.15.2 is the least that it takes.
    expect(answer.version?.version).toMatch(/^v0\.15\.2\+flintlock\./);
  });
});
