import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { writeLayout } from '../../test/support/oci-layout.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createImages } from './images.ts';

const signal = new AbortController().signal;
const limits = { signal, timeoutMs: 30_000 };
const REGISTRY = '127.0.0.1:5001';

let netns: Netns;
let top: string;
let end: () => Promise<void>;

beforeAll(async () => {
  netns = await createNetns();
  top = await mkdtemp(join(tmpdir(), 'fl-says-'));
  const layers = [[{ name: 'hello', data: 'hello\n' }]];
  await writeLayout(join(top, 'layout'), {
    full: { layers, config: { Entrypoint: ['/x'], Cmd: ['y'], Env: ['A=1'], User: 'app', WorkingDir: '/srv' } },
    silent: { layers, config: { Labels: { a: 'b' } } },
    hostile: { layers, config: { Cmd: [{ toString: 'x' }] } },
  });
  const standIn = fileURLToPath(new URL('../../test/stand-ins/registry.ts', import.meta.url));
  const argv = [process.execPath, standIn, join(top, 'layout'), REGISTRY.split(':')[1] ?? ''];
  const server = await netns.processes.start(['setpriv', '--pdeathsig', 'KILL', '--', ...argv], {
    log: join(top, 'server.log'),
  });
  end = async () => {
    await netns.processes.signal(server.identity, () => true, 'SIGKILL');
    await server.exited;
  };
  const look = ['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${REGISTRY}/ok/x:full`] as const;
  await vi.waitFor(() => netns.run([...look], limits), { timeout: 20_000 });
});
afterAll(async () => {
  await end();
  await netns[Symbol.asyncDispose]();
  await rm(top, { recursive: true, force: true });
});

test.each(['layout', 'registry'])('what an image of a %s says of its program is kept with it', async (from) => {
  const images = createImages({
    ...{ directory: join(top, from), imageRoots: [top], run: netns.run, files, ledger: memoryLedger() },
    ...{ clock, log: memoryLog(), insecureRegistries: [REGISTRY] },
  });
  const says = async (tag: string) => {
    const reference = from === 'layout' ? `oci:${top}/layout:${tag}` : `${REGISTRY}/ok/x:${tag}`;
    const { digest } = await images.ensure(reference, { signal });
    return images.says(digest);
  };
  expect(await says('full')).toEqual({
    ...{ entrypoint: ['/x'], args: ['y'], environment: ['A=1'], user: 'app', directory: '/srv' },
  });
  expect(await says('silent')).toBeNull();
  expect(await says('hostile')).toEqual({ wrong: 'its Cmd holds what is no text' });
  expect(images.says(`sha256:${'0'.repeat(64)}`)).toBeUndefined();
  await images.settled();
});
