import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { corpus, writeCorpus } from '../../test/support/image-corpus.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { createNetns, type Netns } from '../../test/support/netns.ts';
import { writeLayout } from '../../test/support/oci-layout.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import type { Run, StartedProcess } from '../ports/host.ts';
import type { ImageStore } from '../ports/images.ts';
import { createImages } from './images.ts';
import type { ImagesOptions } from './images-options.ts';

const signal = new AbortController().signal;
const limits = { signal, timeoutMs: 30_000 };
const STAND_IN = '127.0.0.1:5001';
const REAL = '127.0.0.1:5002';
const CLOSED = '127.0.0.1:5003';
const PROXY = '127.0.0.1:5004';
const PROXY_TLS = '127.0.0.1:5005';

let netns: Netns;
let top: string;
let digests: Readonly<Record<string, string>>;
const servers: StartedProcess[] = [];

/** A server in the test's namespace, which ends with us however we end. */
async function serve(...argv: readonly [string, ...string[]]): Promise<void> {
  const log = join(top, 'servers.log');
  servers.push(await netns.processes.start(['setpriv', '--pdeathsig', 'KILL', '--', ...argv], { log }));
}

const inspect = (image: string): Promise<string> =>
  netns.run(['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${image}`], limits);

beforeAll(async () => {
  netns = await createNetns();
  top = await mkdtemp(join(tmpdir(), 'fl-registry-'));
  const layers = [[{ name: 'big', data: Buffer.alloc(400_000, 'x') }], [{ name: 'hello', data: 'hello\n' }]];
  const other = { layers: [[{ name: 'not for us' }]], architecture: 's390x' };
  digests = await writeLayout(join(top, 'layout'), {
    ...{ v1: { layers }, multi: [other, { layers }], other, others: [other] },
    v2: { layers: [[{ name: 'newer' }]] },
    sha512: [{ layers: [[{ name: 'long names' }]], by: 'sha512' }],
  });
  const standIn = fileURLToPath(new URL('../../test/stand-ins/registry.ts', import.meta.url));
  await serve(process.execPath, standIn, join(top, 'layout'), STAND_IN.split(':')[1] ?? '');
  await vi.waitFor(() => inspect(`${STAND_IN}/ok/x:v1`), { timeout: 20_000 });
});
afterAll(async () => {
  for (const { identity, exited } of servers) {
    await netns.processes.signal(identity, () => true, 'SIGKILL');
    await exited;
  }
  await netns[Symbol.asyncDispose]();
  await rm(top, { recursive: true, force: true });
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(top, 'state-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const open = (more: Partial<ImagesOptions> = {}): ImageStore =>
  createImages({
    ...{ directory, imageRoots: [], run: netns.run, files, ledger: memoryLedger(), clock, log: memoryLog() },
    insecureRegistries: [STAND_IN, REAL, CLOSED],
    ...more,
  });

const leftovers = async (): Promise<string[]> =>
  (await readdir(directory, { recursive: true })).filter((name) => !/^(trees|golden|scratch)$/.test(name));

describe('a registry', () => {
  test('gives an image by tag and by digest, with bytes counted', async () => {
    const images = open();
    const told: [number, number][] = [];
    const image = await images.ensure(`${STAND_IN}/slow/x:v1`, { signal, onBytes: (...b) => told.push(b) });
    expect(image.digest).toBe(digests.v1);
    expect(await readFile(join(image.tree, 'hello'), 'utf8')).toBe('hello\n');
    const done = told.map(([bytes]) => bytes);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(new Set(done).size).toBeGreaterThan(2);
    expect(told.at(-1)).toEqual([told[0]?.[1], told[0]?.[1]]);
    // Once it is here its digest is enough, even of a registry that does not answer.
    const { digest, tree } = image;
    expect(await images.ensure(`${CLOSED}/ok/x@${digests.v1}`, { signal })).toEqual({ digest, tree });
    expect(await leftovers()).not.toContain('scratch');
  });

  test('gives of an index the image for this host', async () => {
    const image = await open().ensure(`${STAND_IN}/ok/x:multi`, { signal });
    expect(image.digest).toBe(digests.multi);
    expect((await readdir(image.tree)).sort()).toEqual(['big', 'hello']);
  });

  test('gives an image by its tag alone where it has no manifest by its digest', async () => {
    const image = await open().ensure(`${STAND_IN}/long/x:v1`, { signal });
    expect(image.digest).toBe(digests.v1);
    expect(await readFile(join(image.tree, 'hello'), 'utf8')).toBe('hello\n');
    await expect(open().ensure(`${STAND_IN}/long-moves/x:v1`, { signal })).rejects.toMatchObject({
      ...{ reason: 'ImagePullFailed', terminal: false, message: expect.stringContaining('the tag moved') },
    });
    await expect(open().ensure(`${STAND_IN}/long/x@${digests.v1}`, { signal })).rejects.toMatchObject({
      reason: 'ImageNotFound',
    });
  });

  // The digests of what the stand-in sends are right, so only the failure decides.
  test.each([
    ['gone/x:v1', 'not_found', 'ImageNotFound', 'no such tag'],
    ['ok/x:others', 'invalid', 'ImageInvalid', 'linux/s390x'],
    // Should a newer skopeo take it, this is a case of those that are pulled.
    ['ok/x:sha512', 'invalid', 'ImageInvalid', 'copy it into an OCI layout by another tool'],
    ['login/x:v1', 'tool', 'ImagePullFailed', '--registry-auth-file'],
    ['broken/x:v1', 'tool', 'ImagePullFailed', '500'],
    ['corrupt/x:v1', 'tool', 'ImagePullFailed', 'not what its digest says'],
    ['wrong/x:v1', 'tool', 'ImagePullFailed', 'digest'],
    ['cut/x:v1', 'tool', 'ImagePullFailed', ''],
    ['ill/x:v1', 'tool', 'ImagePullFailed', '500'],
    // Some versions of skopeo wait for what was announced, others do not.
    ['more/x:v1', 'tool|timeout', 'ImagePullFailed', ''],
    ['fewer/x:v1', 'tool', 'ImagePullFailed', ''],
    ['round/x:v1', 'tool', 'ImagePullFailed', ''],
    ['elsewhere/x:v1', 'tool', 'ImagePullFailed', ''],
    ['page/x:v1', 'invalid', 'ImageInvalid', ''],
    ['huge/x:v1', 'invalid', 'ImageInvalid', ''],
    ['endless/x:v1', 'timeout', 'ImagePullFailed', ''],
    ['hang/x:v1', 'timeout', 'ImagePullFailed', 'no byte came for 1500 ms'],
    ['silent/x:v1', 'timeout', 'ImagePullFailed', 'did not end in 1500 ms'],
  ])('%s fails as %s %s', async (name, kind, reason, text) => {
    const ledger = memoryLedger();
    // The others end by themselves, on a busy machine later.
    const isSlow = ['more/x:v1', 'endless/x:v1', 'hang/x:v1', 'silent/x:v1'].includes(name);
    const limitMs = isSlow ? 1_500 : 60_000;
    const images = open({ ledger, stallTimeoutMs: limitMs, lookupTimeoutMs: limitMs });
    await expect(images.ensure(`${STAND_IN}/${name}`, { signal })).rejects.toMatchObject({
      ...{ kind: expect.stringMatching(`^(${kind})$`), reason, terminal: kind === 'not_found' || kind === 'invalid' },
      message: expect.stringContaining(text),
    });
    expect(ledger.all()).toEqual([]);
    expect(await leftovers()).toEqual([]);
  });

  test('that is not there, or speaks plain HTTP unasked, is told as such', async () => {
    const failed = (text: string) => ({
      kind: 'tool',
      reason: 'ImagePullFailed',
      message: expect.stringContaining(text),
    });
    await expect(open().ensure(`${CLOSED}/x:v1`, { signal })).rejects.toMatchObject(failed('nothing listens'));
    await expect(open({ insecureRegistries: [] }).ensure(`${STAND_IN}/ok/x:v1`, { signal })).rejects.toMatchObject(
      failed('--insecure-registry'),
    );
    await expect(open().ensure('registry.invalid/x:v1', { signal })).rejects.toMatchObject({ terminal: false });
  });
});

/**
 * Of the corpus those that reach us otherwise than from a layout; corpus.host.test.ts has all of them there. A tag of
 * a registry may lead to any manifest: it is kept by its own digest.
 */
const OTHERWISE =
  /^(no-bytes|layer-(missing|smaller|larger|elsewhere)|config-|more-layers|no-layers|manifest-(?!not-as)|index-|a-thousand|hard-link-through)/;
const CORPUS = '127.0.0.1:5006';

describe('a registry of hostile images', () => {
  const images = corpus(`http://${CLOSED}/layer`).filter(({ tag }) => OTHERWISE.test(tag));

  beforeAll(async () => {
    await writeCorpus(join(top, 'corpus'), images);
    const standIn = fileURLToPath(new URL('../../test/stand-ins/registry.ts', import.meta.url));
    await serve(process.execPath, standIn, join(top, 'corpus'), CORPUS.split(':')[1] ?? '');
    await vi.waitFor(() => inspect(`${CORPUS}/ok/x:no-bytes`), { timeout: 20_000 });
  });

  test.each(images.map(({ tag, verdict }) => ({ tag, verdict })))('$tag', async ({ tag, verdict }) => {
    const ledger = memoryLedger();
    const images = open({ ledger, insecureRegistries: [CORPUS], lookupTimeoutMs: 20_000 });
    const outcome = await images.ensure(`${CORPUS}/ok/x:${tag}`, { signal }).catch((error: unknown) => error);
    if (verdict === 'contained') return expect(outcome).not.toBeInstanceOf(Error);
    expect(outcome).toMatchObject({
      reason: expect.stringMatching(/^Image(Invalid|PullFailed|NotFound)$/),
      message: expect.stringMatching(/^Cannot (use|pull|find) image ".*": \w.{10,}/),
    });
    expect(ledger.all()).toEqual([]);
    expect(await leftovers()).toEqual([]);
  });
});

// The distribution's own: the set-up of the tests unpacks its package.
const REGISTRY = resolve(import.meta.dirname, '../../.cache/tools/usr/bin/docker-registry');
describe('docker-registry, with a login', () => {
  const authFile = (password: string): string =>
    JSON.stringify({ auths: { [REAL]: { auth: Buffer.from(`u:${password}`).toString('base64') } } });

  beforeAll(async () => {
    // bcrypt of "secret" at the least cost
    await writeFile(join(top, 'htpasswd'), 'u:$2b$04$X1wow1EqXxw4LaBKXFeQxuNvIsPd4RxD9iveLi5VmZ1Jog3TcFlr2\n');
    const config = {
      version: 0.1,
      log: { level: 'warn', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(top, 'blobs') } },
      http: { addr: REAL },
      auth: { htpasswd: { realm: 'lab', path: join(top, 'htpasswd') } },
    };
    await writeFile(join(top, 'registry.yml'), JSON.stringify(config));
    await writeFile(join(top, 'good.json'), authFile('secret'));
    await writeFile(join(top, 'bad.json'), authFile('guess'));
    await serve(REGISTRY, 'serve', join(top, 'registry.yml'));
    const push = [
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      '--dest-tls-verify=false',
      '--multi-arch',
      'all',
    ] as const;
    const login = ['--dest-authfile', join(top, 'good.json')] as const;
    await vi.waitFor(
      () => netns.run([...push, ...login, `oci:${top}/layout:multi`, `docker://${REAL}/lab/x:v1`], limits),
      { timeout: 30_000, interval: 100 },
    );
  });

  test('gives an image to who may have it', async () => {
    const image = await open({ authFile: join(top, 'good.json') }).ensure(`${REAL}/lab/x:v1`, { signal });
    expect(image.digest).toBe(digests.multi);
    expect((await readdir(image.tree)).sort()).toEqual(['big', 'hello']);
  });

  test('an image, and an index, for another CPU alone are refused for good', async () => {
    const login = [
      '--dest-authfile',
      join(top, 'good.json'),
      '--dest-tls-verify=false',
      '--multi-arch',
      'all',
    ] as const;
    for (const tag of ['other', 'others']) {
      const to = `docker://${REAL}/lab/${tag}:v1`;
      await netns.run(['skopeo', '--insecure-policy', 'copy', '-q', ...login, `oci:${top}/layout:${tag}`, to], limits);
      const images = open({ authFile: join(top, 'good.json') });
      await expect(images.ensure(`${REAL}/lab/${tag}:v1`, { signal })).rejects.toMatchObject({
        ...{ kind: 'invalid', reason: 'ImageInvalid', terminal: true },
        message: expect.stringContaining('linux/s390x'),
      });
    }
  });

  test.each([['no'], ['a wrong']])('refuses who brings %s password, with the remedy', async (which) => {
    const images = open(which === 'no' ? {} : { authFile: join(top, 'bad.json') });
    await expect(images.ensure(`${REAL}/lab/x:v1`, { signal })).rejects.toMatchObject({
      ...{ kind: 'tool', reason: 'ImagePullFailed', terminal: false },
      message: expect.stringContaining('--registry-auth-file'),
    });
  });

  test.each(['lab/x:v9', 'lab/none:v1', `lab/x@sha256:${'0'.repeat(64)}`])('does not find %s', async (name) => {
    const images = open({ authFile: join(top, 'good.json') });
    await expect(images.ensure(`${REAL}/${name}`, { signal })).rejects.toMatchObject({
      ...{ kind: 'not_found', reason: 'ImageNotFound', terminal: true },
    });
  });

  // Our proxy before it, which keeps names and credentials and spoils layers.
  describe('through a proxy', () => {
    const loggedIn = (more: Partial<ImagesOptions> = {}): ImageStore =>
      open({ authFile: join(top, 'proxied.json'), insecureRegistries: [PROXY], ...more });

    beforeAll(async () => {
      const auth = Buffer.from('u:secret').toString('base64');
      await writeFile(
        join(top, 'proxied.json'),
        JSON.stringify({ auths: Object.fromEntries([PROXY, PROXY_TLS].map((host) => [host, { auth }])) }),
      );
      const limits = { signal, timeoutMs: 20_000 };
      const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${top}/key.pem`];
      await netns.run(['openssl', 'req', '-x509', ...key, '-out', `${top}/cert.pem`, '-days', '2', ...subject], limits);
      const script = fileURLToPath(new URL('../../test/stand-ins/proxy.ts', import.meta.url));
      const [port = '', tlsPort = '', registry = ''] = [PROXY, PROXY_TLS, REAL].map((host) => host.split(':')[1]);
      await serve(process.execPath, script, port, registry);
      await serve(process.execPath, script, tlsPort, registry, `${top}/key.pem`, `${top}/cert.pem`);
      const ask = (host: string) =>
        ['skopeo', 'inspect', '--tls-verify=false', `docker://${host}/ok/lab/x:v1`] as const;
      for (const host of [PROXY, PROXY_TLS])
        await vi.waitFor(
          async () => expect(await netns.run(ask(host), limits).catch(String)).toContain('authentication required'),
          { timeout: 20_000 },
        );
    });

    test('an image comes, also slowly, also after a first try that was cut off', async () => {
      for (const how of ['ok', 'slow', 'flaky']) {
        const told: number[] = [];
        const { image } = await loggedIn().pull(`${PROXY}/${how}/lab/x:v1`, { signal, onBytes: (b) => told.push(b) });
        expect(image.digest).toBe(digests.multi);
        expect(told.at(-1)).toBeGreaterThan(0);
        await rm(directory, { recursive: true });
        await mkdir(directory);
      }
    });

    test.each([
      ['hang', 'timeout', 'no byte came for 1000 ms'],
      ['cut', 'tool', ''],
      ['corrupt', 'tool', 'not what its digest says'],
      ['silent', 'timeout', 'did not end in 1000 ms'],
    ])('%s: fails as %s, transiently, and nothing is left', async (how, kind, text) => {
      const ledger = memoryLedger();
      const limitOf = (slow: string): number => (how === slow ? 1_000 : 60_000);
      const images = loggedIn({ ledger, stallTimeoutMs: limitOf('hang'), lookupTimeoutMs: limitOf('silent') });
      await expect(images.ensure(`${PROXY}/${how}/lab/x:v1`, { signal })).rejects.toMatchObject({
        ...{ kind, reason: 'ImagePullFailed', terminal: false },
        message: expect.stringContaining(text),
      });
      expect(ledger.all()).toEqual([]);
      expect(await leftovers()).toEqual([]);
    });

    test('a pull that is killed says so, and nothing is left', async () => {
      const ledger = memoryLedger();
      const coming = Promise.withResolvers<void>();
      const pulling = loggedIn({ ledger }).ensure(`${PROXY}/hang/lab/x:v1`, {
        signal,
        onBytes: (done) => done > 0 && coming.resolve(),
      });
      pulling.catch(() => undefined);
      await coming.promise;
      const ours = (argv: readonly string[]): boolean =>
        argv[0] === 'skopeo' && argv.some((word) => word.includes(directory));
      const [skopeo] = await netns.processes.find(ours);
      if (skopeo) await netns.processes.signal(skopeo, ours, 'SIGKILL');
      await expect(pulling).rejects.toMatchObject({
        ...{ kind: 'tool', reason: 'ImagePullFailed', terminal: false, message: expect.stringContaining('was killed') },
      });
      expect(ledger.all()).toEqual([]);
      expect(await leftovers()).toEqual([]);
    });

    test('a pull ahead of time gives up after three tries', async () => {
      let copies = 0;
      const counting: Run = (argv, limits) => {
        if (argv.includes('copy')) copies++;
        return netns.run(argv, limits);
      };
      const hasty = { ...clock, sleep: (ms: number, until: AbortSignal) => clock.sleep(Math.min(ms, 50), until) };
      const images = loggedIn({ run: counting, clock: hasty });
      await expect(images.pull(`${PROXY}/cut/lab/x:v1`, { signal })).rejects.toMatchObject({
        reason: 'ImagePullFailed',
      });
      expect(copies).toBe(3);
    });

    test('a certificate that nobody vouches for is refused with the remedy; where allowed, the image comes', async () => {
      const name = `${PROXY_TLS}/ok/lab/x:v1`;
      await expect(loggedIn().ensure(name, { signal })).rejects.toMatchObject({
        ...{ kind: 'tool', reason: 'ImagePullFailed', terminal: false },
        message: expect.stringMatching(/certificate is not trusted; install its CA .* --insecure-registry/),
      });
      const image = await loggedIn({ insecureRegistries: [PROXY_TLS] }).ensure(name, { signal });
      expect(image.digest).toBe(digests.multi);
    });

    test('plain HTTP where HTTPS is expected is told as such', async () => {
      const images = loggedIn({ insecureRegistries: [] });
      await expect(images.ensure(`${PROXY}/ok/lab/x:v1`, { signal })).rejects.toMatchObject({
        message: expect.stringMatching(/speaks plain HTTP; allow it by --insecure-registry/),
      });
    });

    test('a tag that moved is looked up again; without an answer the digest last seen is used', async () => {
      const ledger = memoryLedger();
      const name = `${PROXY}/ok/lab/moving:v1`;
      const login = ['--dest-authfile', join(top, 'good.json'), '--dest-tls-verify=false'] as const;
      const push = (tag: string) =>
        netns.run(
          [
            'skopeo',
            '--insecure-policy',
            'copy',
            '-q',
            ...login,
            `oci:${top}/layout:${tag}`,
            `docker://${REAL}/lab/moving:v1`,
          ],
          limits,
        );
      await push('v1');
      const images = loggedIn({ ledger });
      const first = await images.ensure(name, { signal });
      expect(first).toMatchObject({ digest: digests.v1 });
      await push('v2');
      const second = await images.ensure(name, { signal });
      const took = { lookUpMs: expect.any(Number), pullMs: expect.any(Number) };
      expect(second).toEqual({ digest: digests.v2, tree: expect.any(String), took });
      // The tag is the newer image's now.
      expect((await images.list()).map((i) => [i.digest, i.references]).sort()).toEqual(
        [
          [digests.v1, []],
          [digests.v2, [name]],
        ].sort(),
      );
      const dead: Run = (argv, limits) =>
        netns.run(argv.map((word) => word.replace(PROXY, CLOSED)) as unknown as typeof argv, limits);
      const offline = loggedIn({ ledger, run: dead, insecureRegistries: [PROXY, CLOSED] });
      const last = await offline.ensure(name, { signal });
      expect(last.digest).toBe(digests.v2);
      expect(last.remark).toMatch(/digest last seen, sha256:\w+, is used.*nothing listens at the registry/);
      await expect(offline.ensure(`${PROXY}/ok/lab/moving:v2`, { signal })).rejects.toMatchObject({
        message: expect.stringContaining('nothing listens'),
      });
      // A registry that refuses has answered: what was seen last is no way round it.
      const stranger = open({ ledger, insecureRegistries: [PROXY] });
      await expect(stranger.ensure(name, { signal })).rejects.toMatchObject({
        message: expect.stringContaining('--registry-auth-file'),
      });
    });
  });
});
