import { expect, test } from 'vitest';
import { FAKE_CAPABILITIES } from '../../test/support/fake-processes.ts';
import { INTENTS, ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { Fault } from '../domain/fault.ts';
import type { CachedImage, ImageStore, InUse } from '../ports/images.ts';
import type { CopyKind } from '../ports/volumes.ts';
import { listImages } from './images-list.ts';
import { pullImage } from './images-pull.ts';
import { pruneImages, removeImage } from './images-remove.ts';
import type { PullNews } from './services.ts';

const signal = new AbortController().signal;
const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const cached = (letter: string, ...references: string[]): CachedImage => ({
  ...{ digest: digest(letter), references, bytes: 100, goldens: [], pulledAt: 1, lastUsedAt: 2 },
});

const made = (letter: string) => ({ ...RESULTS.image, digest: digest(letter) });

type Cache = Pick<ImageStore, 'list' | 'fullName' | 'check' | 'pull' | 'remove' | 'prune'>;

/** A cache with two images. */
function setUp(store: Partial<Cache> = {}) {
  const ledger = memoryLedger();
  let images = [cached('a', 'host/a:v1'), cached('b', 'host/b:v1', 'host/b:v2')];
  const free = (inUse: () => InUse) => images.filter((i) => !inUse().digests.has(i.digest));
  const fake: Cache = {
    list: async () => images,
    fullName: (text) => text.replace(/^short/, 'host'),
    check: async (reference) => (reference === '' ? 'image "" is empty' : undefined),
    async remove(wanted, inUse) {
      const found = free(inUse).find((i) => i.digest === wanted);
      if (!found) throw new Fault('refused', 'in use');
      images = images.filter((i) => i !== found);
      return found;
    },
    prune: async (inUse) => free(inUse),
    pull: () => Promise.reject(new Error('nobody asked for that')),
    ...store,
  };
  const volumes = { kindFor: (): CopyKind => 'qcow2' };
  const vmm = { capabilities: FAKE_CAPABILITIES, info: async () => ({ available: true }) };
  const defaultVmms = [vmm] as const;
  return { ledger, needs: { ledger, images: fake, volumes, defaultVmms, imageCacheMax: 500 } };
}

test('a list says who uses what, also while a hold is being made', async () => {
  const { ledger, needs } = setUp();
  ledger.made(ledger.intend(ownedBy('VM1'), 'image', 'host/a:v1', INTENTS.image), made('a'));
  ledger.made(ledger.intend(ownedBy('VM1'), 'image', 'host/a@x', INTENTS.image), made('a'));
  ledger.intend(ownedBy('VM2'), 'image', 'short/b:v2', INTENTS.image);
  const list = await listImages(needs);
  expect(list).toMatchObject({ volumeCopy: 'qcow2', bytes: 200, maxBytes: 500 });
  expect(list.images.map(({ usedBy }) => usedBy)).toEqual([['VM1'], ['VM2']]);
});

test('an image in use is not removed, and its users are named', async () => {
  const { ledger, needs } = setUp();
  ledger.made(ledger.intend(ownedBy('VM1'), 'image', 'host/a:v1', INTENTS.image), made('a'));
  await expect(removeImage(needs, 'host/a:v1')).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('used by microVM VM1'),
  });
  expect(await removeImage(needs, 'short/b:v1')).toMatchObject({ digest: digest('b') });
});

test('a microVM that comes in between is named too', async () => {
  const { ledger, needs } = setUp({
    async remove() {
      ledger.made(ledger.intend(ownedBy('VM9'), 'image', 'host/a:v1', INTENTS.image), made('a'));
      throw new Fault('refused', 'in use');
    },
  });
  await expect(removeImage(needs, digest('a'))).rejects.toThrow('VM9');
});

test('images are named by digest, its beginning, or a reference', async () => {
  for (const name of [digest('a'), 'a'.repeat(12), `sha256:${'a'.repeat(20)}`, 'host/a:v1'])
    expect((await removeImage(setUp().needs, name)).digest).toBe(digest('a'));
  for (const name of ['aaaa', 'c'.repeat(12), 'host/c:v1'])
    await expect(removeImage(setUp().needs, name)).rejects.toMatchObject({ kind: 'not_found' });
  await expect(removeImage(setUp().needs, '')).rejects.toMatchObject({ kind: 'invalid' });
  const twins = [cached('a', 'host/x:v1'), { ...cached('a'), digest: `sha256:${'a'.repeat(63)}b` }];
  const { needs } = setUp({ list: async () => twins });
  await expect(removeImage(needs, 'a'.repeat(12))).rejects.toMatchObject({
    kind: 'refused',
    message: expect.stringContaining('ambiguous'),
  });
});

test('a prune leaves what is used', async () => {
  const { ledger, needs } = setUp();
  ledger.made(ledger.intend(ownedBy('VM1'), 'image', 'host/a:v1', INTENTS.image), made('a'));
  expect(await pruneImages(needs)).toMatchObject({ removed: [{ digest: digest('b') }], freedBytes: 100 });
});

test('a pull tells the newest only, then the image with its users', async () => {
  const { ledger, needs } = setUp({
    async pull(_reference, { onBytes, onGolden, goldenSizeInMb }) {
      expect(goldenSizeInMb).toBe(64);
      for (let i = 1; i <= 1_000; i++) onBytes?.(i, 1_000);
      await new Promise(setImmediate);
      onGolden?.();
      await new Promise(setImmediate);
      return { image: cached('a', 'host/a:v1'), remark: 'as last seen', took: { lookUpMs: 34 } };
    },
  });
  ledger.made(ledger.intend(ownedBy('VM1'), 'image', 'host/a:v1', INTENTS.image), made('a'));
  const news: PullNews[] = [];
  for await (const one of pullImage(needs, { reference: 'host/a:v1', goldenSizeInMb: 64 }, signal)) news.push(one);
  expect(news.length).toBeLessThan(6);
  expect(news.map(({ step }) => step)).toContain('golden');
  expect(news.at(-1)).toMatchObject({ step: 'done', lookUpMs: 34, remark: 'as last seen', image: { usedBy: ['VM1'] } });
});

test('who leaves a pull ends it; what is wrong is told before it begins', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<unknown>();
  const { needs } = setUp({
    pull: (_reference, { signal: left }) =>
      new Promise((_, reject) => {
        left.addEventListener('abort', () => {
          resolve(left.reason);
          reject(left.reason);
        });
      }),
  });
  for await (const _ of pullImage(needs, { reference: 'host/a:v1' }, signal)) break;
  expect(await ended).toMatchObject({ kind: 'cancelled' });

  const wrong = pullImage(needs, { reference: '', goldenSizeInMb: 0 }, signal)[Symbol.asyncIterator]();
  await expect(wrong.next()).rejects.toMatchObject({
    kind: 'invalid',
    violations: [{ field: 'reference' }, { field: 'golden_size_in_mb' }],
  });
});

test('a pull that fails is told as it failed', async () => {
  const fault = new Fault('tool', 'no', { reason: 'ImagePullFailed' });
  const { needs } = setUp({ pull: () => Promise.reject(fault) });
  await expect(
    (async () => {
      for await (const _ of pullImage(needs, { reference: 'x' }, signal));
    })(),
  ).rejects.toBe(fault);
});
