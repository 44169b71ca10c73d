import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import type { PullImageResponse } from '../../src/gen/flintlock/microvm/v1/images_pb.ts';
import { ImagePull_Policy } from '../../src/gen/types/microvm_pb.ts';
import { DEMO_ROOT, demoSpec, poll, ROOT, type SpecInit, startHost, type TestHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';

const MB = 1 << 20;
const REGISTRY = '127.0.0.1:5001';
const CLI = join(ROOT, 'bin/flintlock');

/** A spec whose data volume is made of an image. */
const withData = (id: string, image: string, change: { pullPolicy?: ImagePull_Policy } = {}): SpecInit =>
  demoSpec(id, {
    ...change,
    interfaces: [],
    volumes: [
      { id: 'root', isRoot: true, source: { containerSource: DEMO_ROOT } },
      { id: 'data', source: { containerSource: image } },
    ],
  });

async function pull(host: TestHost, reference: string, goldenSizeInMb?: number): Promise<PullImageResponse[]> {
  const news: PullImageResponse[] = [];
  const request = { reference, ...(goldenSizeInMb !== undefined && { goldenSizeInMb }) };
  for await (const one of host.imageService.pullImage(request)) news.push(one);
  return news;
}

const cli = (host: TestHost, ...args: readonly string[]) => host.tool(CLI, '--host', `unix://${host.socket}`, ...args);

/** The registry that misbehaves by name, in the daemon's network namespace; it ends with the test. */
async function startRegistry(host: TestHost, layout: string, ...more: readonly string[]) {
  const server = host.spawnInside(process.execPath, join(ROOT, 'test/stand-ins/registry.ts'), layout, '5001', ...more);
  const url = `http://${REGISTRY}/v2/`;
  const ask = `fetch('${url}').then(() => process.exit(0), () => process.exit(1))`;
  await poll('the registry answers', 10_000, async () => {
    const { code, stderr } = await host.tryInside(process.execPath, '-e', ask);
    return code === 0 ? { is: true } : { not: stderr };
  });
  return server;
}

test('ten creates of one 300 MB image at once: one pull, one disk image, little more disk than one', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none'] });
  const block = Buffer.from(Array.from({ length: 4_096 }, (_, i) => (i * 7_919 + (i >> 3) * 104_729) & 0xff));
  const data = Buffer.alloc(MB, block);
  const files = Array.from({ length: 300 }, (_, i) => ({ name: `file${i}`, data }));
  await writeLayout(join(host.images, 'big'), { v1: { layers: [files] } });
  const image = `oci:${host.images}/big:v1`;

  const at = performance.now();
  const made = await Promise.all(Array.from({ length: 10 }, (_, i) => host.create(withData(`vm${i}`, image))));
  const uids = made.map((vm) => vm.spec?.uid ?? '');
  await Promise.all(uids.map((uid) => host.vms.waitMicroVM({ uid, until: 1, timeout: { seconds: 90n } })));
  const seconds = (performance.now() - at) / 1_000;

  const big = (await host.imageService.listImages({})).images.find((one) => one.references.includes(image));
  expect(big?.usedBy.toSorted()).toEqual(uids.toSorted());
  expect(big?.goldens).toHaveLength(1);
  const count = (text: string): number =>
    host.log.split('\n').filter((line) => line.includes(text) && line.includes(big?.digest ?? '?')).length;
  expect(count('image pulled')).toBe(1);
  expect(count('disk image made')).toBe(1);

  const disk = async (): Promise<number> => Number.parseInt(await host.tool('du', '-s', '-B1', host.state), 10);
  const ten = await disk();
  for (const uid of uids.slice(1)) await host.vms.deleteMicroVM({ uid });
  await Promise.all(uids.slice(1).map((uid) => host.untilGone(uid)));
  const one = await disk();
  const mb = (bytes: number): string => `${Math.round(bytes / MB)} MB`;
  const figures = `10 CREATED in ${seconds.toFixed(1)} s; disk of ten ${mb(ten)}, of one ${mb(one)}: ${(ten / one).toFixed(3)} x`;
  t.annotate(figures);
  process.stdout.write(`${figures}\n`);
  expect(one).toBeGreaterThan(600 * MB); // the tree and its disk image
  expect(ten).toBeLessThan(1.2 * one);
});

test('images are pulled ahead of time, shown with who uses them, and removed when nothing does', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none', '--insecure-registry', REGISTRY] });
  const layout = join(host.images, 'small');
  await writeLayout(layout, { v1: { layers: [[{ name: 'hello', data: Buffer.alloc(400_000, 'x') }]] } });
  const server = await startRegistry(host, layout);
  const image = `${REGISTRY}/slow/x:v1`;

  const news = await pull(host, image, 64);
  expect(news.at(-1)).toMatchObject({ step: 'done', image: { references: [image], goldens: [{ sizeInMb: 64 }] } });
  expect(news.some(({ step, doneBytes, totalBytes }) => step === 'pull' && doneBytes > 0n && totalBytes > 0n)).toBe(
    true,
  );
  const digest = news.at(-1)?.image?.digest ?? '';

  const uid = (await host.create(withData('user', image))).spec?.uid ?? '';
  await host.until(uid, 'CREATED');
  const refused = host.imageService.removeImage({ image });
  await expect(refused).rejects.toMatchObject({
    code: Code.FailedPrecondition,
    rawMessage: expect.stringContaining(uid),
  });
  const table = await cli(host, 'image', 'ls');
  expect(table).toMatch(new RegExp(`^${image} +${digest.slice(0, 19)} .* ${uid}$`, 'm'));
  expect(table).toMatch(/volumes are (copies by reference|qcow2 overlays|sparse copies)/);
  expect((await host.imageService.pruneImages({})).removed).toEqual([]);

  // The registry goes away: the digest last seen is used, and the status says so.
  server.kill('SIGKILL');
  const late = (await host.create(withData('late', image))).spec?.uid ?? '';
  const { status } = await host.until(late, 'CREATED');
  const ready = status?.conditions.find(({ type }) => type === 'ImagesReady');
  expect(ready).toMatchObject({ status: 'True', reason: 'RegistryUnreachable' });
  expect(ready?.message).toContain(digest);
  expect(ready?.message).toContain('nothing listens');
  const never = (await host.create(withData('never', `${REGISTRY}/slow/x:v2`))).spec?.uid ?? '';
  expect((await host.untilReason(never, 'ImagePullFailed')).message).toContain('nothing listens');

  for (const one of [uid, late, never]) await host.vms.deleteMicroVM({ uid: one });
  for (const one of [uid, late, never]) await host.untilGone(one);
  expect(await cli(host, 'image', 'rm', image)).toContain('is removed');
  await expect(host.imageService.removeImage({ image })).rejects.toMatchObject({ code: Code.NotFound });
  expect(await cli(host, 'image', 'prune')).toMatch(/^1 removed, |2 removed, /m);
  expect((await host.imageService.listImages({})).images).toEqual([]);
  expect(await host.audit()).toEqual({ leaked: [], missing: [], fixed: [] });
});

test('registries are asked when the create, or else the daemon, says so, and by no restart', async (t) => {
  const host = await startHost(t, {
    flags: ['--managed-network', 'none', '--insecure-registry', REGISTRY, '--pull', 'missing'],
  });
  const layout = join(host.images, 'small');
  await writeLayout(layout, { v1: { layers: [[{ name: 'hello', data: 'hello\n' }]] } });
  const requests = join(host.images, 'requests.log');
  await startRegistry(host, layout, `--log=${requests}`);
  /** Of this image, since it was asked last. */
  const asked = (): number => {
    const text = readFileSync(requests, 'utf8');
    writeFileSync(requests, '');
    return text.split('\n').filter((line) => line.includes('/ok/x/')).length;
  };
  const image = `${REGISTRY}/ok/x:v1`;
  const never = { pullPolicy: ImagePull_Policy.NEVER };

  await expect(host.create(withData('none', image, never))).rejects.toMatchObject({
    code: Code.FailedPrecondition,
    rawMessage: expect.stringContaining(`"flintlock image pull ${image}"`),
  });
  const { plan } = await host.vms.createMicroVM({ microvm: withData('dry', image), validateOnly: true });
  expect(plan).toContain(`image: the registry is asked where ${image} leads, and it is pulled: it is not in the cache`);
  expect(asked()).toBe(0);

  const first = (await host.create(withData('first', image))).spec?.uid ?? '';
  const { spec, status } = await host.until(first, 'CREATED');
  expect(spec?.pullPolicy).toBe(ImagePull_Policy.MISSING);
  const ready = status?.conditions.find(({ type }) => type === 'ImagesReady');
  expect(ready?.message).toMatch(/Image "127\.0\.0\.1:5001\/ok\/x:v1": registry look-up [\d.]+ m?s, pull [\d.]+ m?s$/);
  expect(host.log).toContain('image looked up');
  expect(asked()).toBeGreaterThan(0);

  const second = (await host.create(withData('second', image, never))).spec?.uid ?? '';
  await host.until(second, 'CREATED');
  await host.vms.stopMicroVM({ uid: first, timeout: { seconds: 0n } });
  await host.vms.startMicroVM({ uid: first, timeout: { seconds: 60n } });
  expect(asked()).toBe(0);

  const always = { pullPolicy: ImagePull_Policy.ALWAYS };
  const third = (await host.create(withData('third', image, always))).spec?.uid ?? '';
  await host.until(third, 'CREATED');
  expect(asked()).toBe(1);
});

test('above --image-cache-max what nothing uses is dropped, used last longest ago first', async (t) => {
  const host = await startHost(t, { flags: ['--managed-network', 'none', '--image-cache-max', '5M'] });
  const layer = (fill: string) => ({ layers: [[{ name: 'x', data: Buffer.alloc(2 * MB, fill) }]] });
  await writeLayout(join(host.images, 'three'), { a: layer('a'), b: layer('b'), c: layer('c') });
  for (const tag of ['a', 'b', 'c']) await pull(host, `oci:${host.images}/three:${tag}`);
  await poll('the oldest is dropped', 10_000, async () => {
    const { images, maxBytes } = await host.imageService.listImages({});
    expect(maxBytes).toBe(5n * BigInt(MB));
    const tags = images.map(({ references }) => references[0]?.slice(-1)).join();
    return tags === 'c,b' ? { is: true } : { not: tags };
  });
});
