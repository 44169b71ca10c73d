import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { writeLayout } from '../../test/support/oci-layout.ts';
import { PULL_POLICIES, type PullPolicy } from '../domain/spec.ts';
import { createAskRegistry } from '../host/ask-registry.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { createProcesses } from '../host/processes.ts';
import { run } from '../host/run.ts';
import type { Run, StartedProcess } from '../ports/host.ts';
import type { ImageStore } from '../ports/images.ts';
import { NO_METER } from '../ports/meter.ts';
import { createImages } from './images.ts';

// A registry on loopback, because we ask it too, that writes down what it is asked.
const processes = createProcesses();
const ask = createAskRegistry();
let port: number;
let host: string;
let tag: string;
const signal = new AbortController().signal;

let top: string;
let registry: StartedProcess;
let digests: Readonly<Record<string, string>>;
let images: ImageStore;
let looks: { result: string; ms?: number }[];
let tools: string[];
/** While there is one, no registry is asked before all have come who will ask. */
let meeting: { readonly held: Promise<void>; come(): void } | undefined;

function meet(count: number): void {
  const { promise: held, resolve } = Promise.withResolvers<void>();
  let left = count;
  // Who has come asks, or waits with who does, in the same turn.
  const come = (): void => void (--left === 0 && setImmediate(resolve));
  meeting = { held, come };
}

const layer = (name: string) => ({ layers: [[{ name }]] });
const push = (content: string) => writeLayout(join(top, 'layout'), { v1: layer(content) });
const requestsFile = (): string => join(top, 'requests.log');

/** All requests since it was asked last. */
async function asked(): Promise<readonly string[]> {
  const lines = (await readFile(requestsFile(), 'utf8')).split('\n').slice(0, -1);
  await writeFile(requestsFile(), '');
  return lines;
}
const LOOK = 'HEAD /v2/ok/x/manifests/v1';
const tagsIn = (lines: readonly string[]) => lines.filter((line) => line.endsWith('/manifests/v1'));
const blobsIn = (lines: readonly string[]) => lines.filter((line) => line.includes('/blobs/'));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: free } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return free;
}

async function endRegistry(): Promise<void> {
  await processes.signal(registry.identity, () => true, 'SIGKILL');
  await registry.exited;
}

const ensure = (pull: PullPolicy, name = tag) => images.ensure(name, { signal, pull });

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-pull-policy-'));
  digests = await push('first');
  await writeFile(requestsFile(), '');
  const program = fileURLToPath(new URL('../../test/stand-ins/registry.ts', import.meta.url));
  port = await freePort();
  host = `127.0.0.1:${port}`;
  tag = `${host}/ok/x:v1`;
  const argv = [process.execPath, program, join(top, 'layout'), String(port), `--log=${requestsFile()}`] as const;
  registry = await processes.start(['setpriv', '--pdeathsig', 'KILL', '--', ...argv], { log: join(top, 'log') });
  const asking = ['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${tag}`] as const;
  await vi.waitFor(() => run(asking, { signal, timeoutMs: 20_000 }), { timeout: 20_000 });
  await asked();
  looks = [];
  tools = [];
  meeting = undefined;
  const counted: Run = async (argv, limits) => {
    tools.push(argv[0]);
    await meeting?.held;
    return run(argv, limits);
  };
  images = createImages({
    ...{ directory: join(top, 'state'), imageRoots: [top], run: counted, ledger: memoryLedger(), clock },
    ...{ log: memoryLog(), insecureRegistries: [host] },
    files: {
      ...files,
      async makeDirectory(path, mode) {
        await files.makeDirectory(path, mode);
        if (path.endsWith('/scratch')) meeting?.come();
      },
    },
    async ask(request) {
      await meeting?.held;
      return ask(request);
    },
    meter: { ...NO_METER, imageLookup: (result, waited) => void looks.push({ result, ...waited }) },
  });
});
afterEach(async () => {
  await endRegistry();
  await images.settled();
  await rm(top, { recursive: true, force: true });
});

describe('a tag', () => {
  test('ALWAYS: is looked up each time, once, and pulled when it has moved', async () => {
    const first = await ensure('ALWAYS');
    expect(first).toMatchObject({ digest: digests.v1, took: { lookUpMs: expect.any(Number) } });
    expect(first.took?.pullMs).toBeGreaterThan(0);
    const pulling = await asked();
    expect(tagsIn(pulling)).toHaveLength(1);
    expect(blobsIn(pulling).length).toBeGreaterThan(0);
    tools.length = 0;

    const again = await ensure('ALWAYS');
    expect(again).toMatchObject({ digest: digests.v1, took: { lookUpMs: expect.any(Number) } });
    expect(again.took).not.toHaveProperty('pullMs');
    // One request of ours, and no process.
    expect(await asked()).toEqual([LOOK]);
    expect(tools).toEqual([]);

    const { v1: moved } = await push('second');
    expect(await ensure('ALWAYS')).toMatchObject({ digest: moved, took: { pullMs: expect.any(Number) } });
    expect(looks).toEqual(Array.from({ length: 3 }, () => ({ result: 'done', ms: expect.any(Number) })));
  });

  test('MISSING: is asked for while it is not here, and never again, though it has moved', async () => {
    const first = await ensure('MISSING');
    expect(first).toMatchObject({ digest: digests.v1, took: { pullMs: expect.any(Number) } });
    expect(tagsIn(await asked())).toHaveLength(1);
    await push('second');
    const { digest, tree } = first;
    expect(await ensure('MISSING')).toEqual({ digest, tree });
    expect(await asked()).toEqual([]);
    expect(looks).toHaveLength(1);
    // Another asks, and what the tag leads to is the newer one for all.
    const { digest: moved } = await ensure('ALWAYS');
    expect(moved).not.toBe(digest);
    await asked();
    expect(await ensure('MISSING')).toMatchObject({ digest: moved });
    expect(await asked()).toEqual([]);
  });

  test('NEVER: is what was pulled before, or is refused for good, with what to do', async () => {
    await expect(ensure('NEVER')).rejects.toMatchObject({
      ...{ kind: 'refused', reason: 'ImageNotPulled', terminal: true },
      message: expect.stringMatching(/^Cannot use image ".*x:v1": .*"flintlock image pull 127\.0\.0\.1:\d+\/ok\/x:v1"/),
    });
    expect(await asked()).toEqual([]);
    const { image } = await images.pull(tag, { signal });
    await push('second');
    await asked();
    expect(await ensure('NEVER')).toEqual({ digest: image.digest, tree: expect.any(String) });
    expect(await asked()).toEqual([]);
  });

  test.each(PULL_POLICIES)('%s: two at once are one look, and one pull', async (pull) => {
    if (pull === 'NEVER') await images.pull(tag, { signal });
    await asked();
    meet(2);
    const both = await Promise.all([ensure(pull), ensure(pull)]);
    meeting = undefined;
    expect(both.map(({ digest }) => digest)).toEqual([digests.v1, digests.v1]);
    const lines = await asked();
    expect(tagsIn(lines)).toHaveLength(pull === 'NEVER' ? 0 : 1);
    // Its configuration and its one layer.
    expect(blobsIn(lines)).toHaveLength(pull === 'NEVER' ? 0 : 2);
    meet(2);
    const again = await Promise.all([ensure(pull), ensure(pull)]);
    expect(again.map(({ digest }) => digest)).toEqual([digests.v1, digests.v1]);
    expect(await asked()).toEqual(pull === 'ALWAYS' ? [LOOK] : []);
  });
});

describe('a registry that is down', () => {
  test('does not keep an image that is here from being used, and only ALWAYS notices', async () => {
    await ensure('ALWAYS');
    await endRegistry();
    const { remark, took } = await ensure('ALWAYS');
    expect(remark).toMatch(/digest last seen, sha256:\w+, is used.*nothing listens/);
    expect(took?.lookUpMs).toBeGreaterThan(0);
    for (const pull of ['MISSING', 'NEVER'] as const) {
      const image = await ensure(pull);
      expect(image).toEqual({ digest: digests.v1, tree: expect.any(String) });
    }
    expect(looks.map(({ result }) => result)).toEqual(['done', 'failed']);
  });

  test('fails what is not here: transiently, but where nobody may ask', async () => {
    await endRegistry();
    for (const pull of ['ALWAYS', 'MISSING'] as const)
      await expect(ensure(pull)).rejects.toMatchObject({ reason: 'ImagePullFailed', terminal: false });
    await expect(ensure('NEVER')).rejects.toMatchObject({ reason: 'ImageNotPulled', terminal: true });
  });
});

test('a digest is asked for while it is not here, and by NEVER not even then', async () => {
  const name = `${host}/ok/x@${digests.v1}`;
  await expect(ensure('NEVER', name)).rejects.toMatchObject({ reason: 'ImageNotPulled' });
  expect(await asked()).toEqual([]);
  await ensure('MISSING', name);
  expect((await asked()).length).toBeGreaterThan(0);
  for (const pull of PULL_POLICIES) expect(await ensure(pull, name)).toMatchObject({ digest: digests.v1 });
  expect(await asked()).toEqual([]);
  // By that digest alone: where the tag leads nobody has said.
  await expect(ensure('NEVER')).rejects.toMatchObject({ reason: 'ImageNotPulled' });
});

test('an image of this host is read whatever the policy is', async () => {
  for (const pull of PULL_POLICIES) {
    const image = await ensure(pull, `oci:${top}/layout:v1`);
    expect(image).toEqual({ digest: digests.v1, tree: expect.any(String) });
  }
  const { v1: moved } = await push('second');
  expect(await ensure('MISSING', `oci:${top}/layout:v1`)).toMatchObject({ digest: moved });
  expect(await asked()).toEqual([]);
});

test('how an image would be come by is said without asking, and is how it is come by', async () => {
  const digest = digests.v1 ?? '';
  const byDigest = `${host}/ok/x@${digest}`;
  const ways = async (name: string) => Promise.all(PULL_POLICIES.map((pull) => images.way(name, pull)));
  const refused = { is: 'refused', why: expect.stringContaining('pull_policy NEVER') };
  expect(await ways(tag)).toEqual([{ is: 'look-up' }, { is: 'look-up' }, refused]);
  expect(await ways(byDigest)).toEqual([{ is: 'pull' }, { is: 'pull' }, refused]);
  expect(await ways(`oci:${top}/layout:v1`)).toEqual(PULL_POLICIES.map(() => ({ is: 'local' })));
  expect(await asked()).toEqual([]);
  await images.pull(tag, { signal });
  await asked();
  const cached = { is: 'cached', digest };
  expect(await ways(tag)).toEqual([{ is: 'look-up', digest }, cached, cached]);
  expect(await ways(byDigest)).toEqual([cached, cached, cached]);
  expect(await asked()).toEqual([]);
  await images.remove(digest, () => ({ digests: new Set(), references: new Set(), isWhole: true }));
  expect(await ways(tag)).toEqual([{ is: 'look-up' }, { is: 'look-up' }, refused]);
});
