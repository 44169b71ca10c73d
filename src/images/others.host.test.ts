import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Hostile, writeCorpus } from '../../test/support/image-corpus.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { writeLayout } from '../../test/support/oci-layout.ts';
import { clock } from '../host/clock.ts';
import { registryEnvironment } from '../host/environment.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { ImageStore } from '../ports/images.ts';
import { createImages } from './images.ts';

const signal = new AbortController().signal;

let top: string;
let root: string;
let images: ImageStore;

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-others-'));
  root = join(top, 'root');
  await mkdir(join(top, 'state'));
  await mkdir(root);
  images = createImages({
    ...{ directory: join(top, 'state'), imageRoots: [root], run, files, ledger: memoryLedger(), clock },
    ...{ log: memoryLog(), insecureRegistries: [] },
  });
});
afterEach(() => rm(top, { recursive: true, force: true }));

const skopeo = (from: string, to: string): void =>
  void execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', from, to], { stdio: 'pipe' });
const treeOf = async (reference: string): Promise<readonly string[]> =>
  readdirSync((await images.ensure(reference, { signal })).tree).sort();

describe('what other tools write', () => {
  const tags = { v1: { layers: [[{ name: 'one' }], [{ name: 'more' }]] }, v2: { layers: [[{ name: 'two' }]] } };

  test('an archive with a whole reference in it, as podman saves', async () => {
    await writeLayout(join(root, 'layout'), tags);
    skopeo(`oci:${root}/layout:v1`, `oci-archive:${root}/a.tar:localhost/foo:v1`);
    for (const tag of ['', ':v1', ':foo:v1', ':localhost/foo:v1', ':anything'])
      expect(await treeOf(`oci-archive:${root}/a.tar${tag}`), tag).toEqual(['more', 'one']);
  });

  test('an archive as docker saves, packed as well, and the names of what it has', async () => {
    await writeLayout(join(root, 'layout'), tags);
    skopeo(`oci:${root}/layout:v1`, `docker-archive:${root}/d.tar:localhost/foo:v1`);
    for (const reference of ['docker-archive', 'oci-archive'].map((from) => `${from}:${root}/d.tar`))
      expect(await treeOf(`${reference}:foo:v1`), reference).toEqual(['more', 'one']);
    execFileSync('xz', ['-0', '--keep', join(root, 'd.tar')]);
    expect(await treeOf(`docker-archive:${root}/d.tar.xz`)).toEqual(['more', 'one']);
    // As Docker once did: a layer that another image has too is a link to it.
    const unpacked = join(top, 'unpacked');
    await mkdir(unpacked);
    execFileSync('tar', ['-xf', join(root, 'd.tar'), '-C', unpacked]);
    const [image] = JSON.parse(readFileSync(join(unpacked, 'manifest.json'), 'utf8'));
    const [first] = image.Layers;
    execFileSync(
      'sh',
      ['-c', 'mkdir L && mv "$1" L/layer.tar && mkdir M && ln -s ../L/layer.tar M/layer.tar', 'sh', first],
      {
        cwd: unpacked,
      },
    );
    const both = [
      { ...image, Layers: ['M/layer.tar', ...image.Layers.slice(1)], RepoTags: ['a:1'] },
      { ...image, Layers: ['L/layer.tar', ...image.Layers.slice(1)], RepoTags: ['b:1'] },
    ];
    writeFileSync(join(unpacked, 'manifest.json'), JSON.stringify(both));
    execFileSync('tar', ['-cf', join(root, 'e.tar'), '-C', unpacked, '.']);
    expect(await treeOf(`docker-archive:${root}/e.tar:a:1`)).toEqual(['more', 'one']);
  });

  test('a layout in the very directory of --image-root', async () => {
    await writeLayout(root, tags);
    expect(await images.check(`oci:${root}:v1`)).toBeUndefined();
    expect(await treeOf(`oci:${root}:v1`)).toEqual(['more', 'one']);
    await expect(images.ensure(`oci:${root}`, { signal })).rejects.toMatchObject({
      ...{ kind: 'not_found', reason: 'ImageNotFound' },
      message: expect.stringContaining(`it has oci:${root}:v1, oci:${root}:v2`),
    });
  });

  test('the tags of an archive are told, and so is what is no archive of images', async () => {
    const digests = await writeLayout(join(root, 'layout'), tags);
    execFileSync('tar', ['-cf', join(root, 'two.tar'), '-C', join(root, 'layout'), '.']);
    const archive = `oci-archive:${root}/two.tar`;
    expect(await treeOf(`${archive}@${digests.v2}`)).toEqual(['two']);
    const failing = async (reference: string): Promise<string> =>
      images.ensure(reference, { signal }).then(String, (error: Error) => error.message);
    expect(await failing(`${archive}:v3`)).toContain(`it has no tag "v3"; it has ${archive}:v1, ${archive}:v2`);
    await mkdir(join(top, 'files/etc'), { recursive: true });
    execFileSync('tar', ['-cf', join(root, 'rootfs.tar'), '-C', join(top, 'files'), '.']);
    expect(await failing(`oci-archive:${root}/rootfs.tar:v1`)).toMatch(/it is no archive of images/);
    execFileSync('tar', ['-cf', join(root, 'around.tar'), '-C', root, 'layout']);
    expect(await failing(`oci-archive:${root}/around.tar`)).toContain('pack that with "tar -C layout -cf FILE ."');
    writeFileSync(join(root, 'text.tar'), 'x'.repeat(2_000));
    expect(await failing(`oci-archive:${root}/text.tar:v1`)).toMatch(/no tar archive/);
    expect(await failing(`oci:${root}/two.tar:v1`)).toContain(`write oci-archive:${root}/two.tar`);
    expect(await failing(`oci-archive:${root}/layout:v1`)).toContain(`write oci:${root}/layout`);
  });
});

test('an image of data, which does not say for whom it is, as crane appends', async () => {
  const data = { layers: [[{ name: 'vmlinux' }]], architecture: '', os: '' };
  const other = { layers: [[{ name: 'other' }]], architecture: 's390x' };
  await writeLayout(join(root, 'layout'), { data, index: [data], several: [other, data], other: [other] });
  for (const tag of ['data', 'index', 'several'])
    expect(await treeOf(`oci:${root}/layout:${tag}`), tag).toEqual(['vmlinux']);
  await expect(treeOf(`oci:${root}/layout:other`)).rejects.toMatchObject({ reason: 'ImageInvalid' });
  // Its layouts have no names, and call what is in them by the type of its configuration.
  await writeLayout(join(root, 'crane'), { data, more: other });
  const index = JSON.parse(readFileSync(join(root, 'crane/index.json'), 'utf8'));
  const docker = 'application/vnd.docker.container.image.v1+json';
  const [image, sbom] = index.manifests.map(({ annotations: _, ...entry }: { annotations: object }) => entry);
  index.manifests = [
    { ...image, artifactType: docker },
    { ...sbom, artifactType: 'application/spdx+json' },
  ];
  writeFileSync(join(root, 'crane/index.json'), JSON.stringify(index));
  expect(await treeOf(`oci:${root}/crane`)).toEqual(['vmlinux']);
});

test.skipIf(process.arch !== 'x64')('a CPU by the names that the kernel and others have for it', async () => {
  const by = (architecture: string, name: string, os = 'linux') => ({ layers: [[{ name }]], architecture, os });
  const tags = {
    ...{ kernels: by('x86_64', 'ours'), dashed: by('X86-64', 'ours'), alone: by('amd64', 'ours', '') },
    ...{ arm: by('aarch64', 'other'), several: [by('aarch64', 'other'), by('x86_64', 'ours')] },
  };
  await writeLayout(join(root, 'layout'), tags);
  for (const tag of ['kernels', 'dashed', 'alone', 'several'])
    expect(await treeOf(`oci:${root}/layout:${tag}`), tag).toEqual(['ours']);
  await expect(treeOf(`oci:${root}/layout:arm`)).rejects.toMatchObject({
    ...{ reason: 'ImageInvalid', message: expect.stringContaining('linux/arm64') },
  });
});

test('parts named by sha512, in a layout, an archive and an index; and nothing that is not what it is named by', async () => {
  const whole = { layers: [[{ name: 'one' }]], by: 'sha512' } as const;
  const digests = await writeLayout(join(root, 'layout'), { v1: whole, many: [whole], other: { layers: [[]] } });
  expect(digests.v1).toMatch(/^sha512:[a-f0-9]{128}$/);
  execFileSync('tar', ['-cf', join(root, 'a.tar'), '-C', join(root, 'layout'), '.']);
  const references = [':v1', ':many', `@${digests.v1}`, `:${digests.v1}`].map((tag) => `oci:${root}/layout${tag}`);
  for (const reference of [...references, `oci-archive:${root}/a.tar:v1`])
    expect(await treeOf(reference), reference).toEqual(['one']);
  const { digest } = await images.ensure(`oci:${root}/layout:v1`, { signal });
  expect(digest).toBe(digests.v1);
  expect((await images.list()).map((image) => image.digest)).toContain(digests.v1);

  const { manifest = '' } = await writeLayout(join(root, 'changed'), { manifest: whole });
  const at = join(root, 'changed/blobs', manifest.replace(':', '/'));
  writeFileSync(at, readFileSync(at, 'utf8').replace('layer', 'LAYER'));
  await expect(images.ensure(`oci:${root}/changed`, { signal })).rejects.toMatchObject({ reason: 'ImageInvalid' });
});

describe('an OCI artifact', () => {
  const artifact = (titles: readonly (string | undefined)[]): Pick<Hostile, 'tag' | 'make'> => ({
    tag: 'kernel',
    make: (blobs) =>
      blobs.image([], {
        artifactType: 'application/vnd.example.kernel.v1',
        config: blobs.add('application/vnd.oci.empty.v1+json', '{}'),
        layers: titles.map((title, i) => ({
          ...blobs.add('application/octet-stream', `file ${i}`),
          ...(title !== undefined && { annotations: { 'org.opencontainers.image.title': title } }),
        })),
      }),
  });

  test('has its files by their titles, none of them elsewhere, and is no volume', async () => {
    await writeCorpus(join(root, 'layout'), [artifact(['vmlinux', '../../boot/initrd.img', undefined])]);
    const image = await images.ensure(`oci:${root}/layout:kernel`, { signal });
    expect(readdirSync(image.tree, { recursive: true }).sort()).toEqual(['boot', 'boot/initrd.img', 'vmlinux']);
    expect(readFileSync(join(image.tree, 'vmlinux'), 'utf8')).toBe('file 0');
    await expect(images.golden(image, { signal })).rejects.toMatchObject({
      ...{ kind: 'invalid', reason: 'ImageInvalid' },
      message: expect.stringMatching(
        /it is an OCI artifact \(application\/vnd\.example\.kernel\.v1\), and no file system/,
      ),
    });
  });

  test('without titles says what it is', async () => {
    await writeCorpus(join(root, 'layout'), [artifact([undefined])]);
    await expect(images.ensure(`oci:${root}/layout:kernel`, { signal })).rejects.toMatchObject({
      ...{ kind: 'invalid', reason: 'ImageInvalid', terminal: true },
      message: expect.stringMatching(/it is an OCI artifact .*, and no image with files for a guest/),
    });
  });
});

test("the operator's proxy is the way to a registry, and its password is told to nobody", async () => {
  const { v1 = '' } = await writeLayout(join(top, 'served'), { v1: { layers: [[{ name: 'one' }]] } });
  const blob = (digest: string): Buffer => readFileSync(join(top, 'served/blobs', digest.replace(':', '/')));
  const asked: string[] = [];
  const proxy = createServer((request, response) => {
    asked.push(`${request.headers['proxy-authorization']} ${request.url}`);
    const { pathname } = new URL(request.url ?? '');
    const [, kind, name = ''] = /^\/v2\/a\/b\/(manifests|blobs)\/(.*)$/.exec(pathname) ?? [];
    if (kind === undefined) return void response.writeHead(pathname === '/v2/' ? 200 : 404).end('{}');
    const type = 'application/vnd.oci.image.manifest.v1+json';
    response.writeHead(200, { 'content-type': kind === 'manifests' ? type : 'application/octet-stream' });
    response.end(blob(name === 'v1' ? v1 : name));
  });
  // Of TLS it knows nothing: the registry is one that may speak plainly.
  proxy.on('connect', (_request, socket) => void socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  onTestFinished(() => void proxy.close());
  const { port } = proxy.address() as AddressInfo;
  const log = memoryLog();
  const behind = (address: string): ImageStore =>
    createImages({
      ...{ directory: join(top, 'state'), imageRoots: [], run, files, ledger: memoryLedger(), clock, log },
      insecureRegistries: ['registry.example:5000'],
      registryEnvironment: registryEnvironment({ all_proxy: address, NO_PROXY: 'other.example' }),
    });
  const image = await behind(`http://me:s3cret@127.0.0.1:${port}`).ensure('registry.example:5000/a/b:v1', { signal });
  expect(readdirSync(image.tree)).toEqual(['one']);
  const basic = `Basic ${Buffer.from('me:s3cret').toString('base64')}`;
  expect(asked).toContain(`${basic} http://registry.example:5000/v2/a/b/manifests/v1`);
  proxy.close();
  const failure = behind(`http://me:s3cret@127.0.0.1:1`).ensure('registry.example:5000/a/c:v1', { signal });
  await expect(failure).rejects.toMatchObject({
    reason: 'ImagePullFailed',
    message: expect.stringMatching(/the proxy that/),
  });
  const said = await failure.catch((error: Error) => `${error.message} ${JSON.stringify(log)}`);
  expect(said).not.toContain('s3cret');
});

/** In a mount namespace, where this host has other habits. */
test("the host's own mke2fs.conf and mtools.conf decide nothing", async () => {
  const conf = join(top, 'mke2fs.conf');
  writeFileSync(
    conf,
    '[defaults]\nbase_features = filetype\ninode_size = 128\n[fs_types]\next4 = {\nfeatures = extent\n}\n',
  );
  const disk = join(top, 'disk');
  const script = 'mount --bind "$1" /etc/mke2fs.conf && shift && exec "$@"';
  await run(
    [
      'unshare',
      '--mount',
      'sh',
      '-c',
      script,
      'sh',
      conf,
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-b',
      '4096',
      disk,
      '16m',
    ],
    { signal, timeoutMs: 60_000 },
  );
  const said = await run(['dumpe2fs', '-h', disk], { signal, timeoutMs: 60_000 });
  expect(said).toMatch(/Inode size:\s+256/);
  expect(said).toMatch(/features:.*has_journal.*64bit.*metadata_csum/);
  expect(said).not.toMatch(/orphan_file/);
});
