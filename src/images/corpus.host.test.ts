import { once } from 'node:events';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { corpus, type Hostile, writeCorpus } from '../../test/support/image-corpus.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import { createImages } from './images.ts';

const signal = AbortSignal.timeout(300_000);
const fetched: string[] = [];
const bait = createServer((request, response) => {
  fetched.push(String(request.url));
  response.end('bait');
});
/** Made anew with the real address of the bait; the tags are the same. */
const CASES = corpus('http://127.0.0.1:1/');

let top: string;
let images: readonly Hostile[];

beforeAll(async () => {
  bait.listen(0, '127.0.0.1');
  await once(bait, 'listening');
  top = await mkdtemp(join(tmpdir(), 'fl-corpus-'));
  images = corpus(`http://127.0.0.1:${(bait.address() as AddressInfo).port}/layer`);
  await writeCorpus(join(top, 'layout'), images);
  await writeFile(join(top, 'victim'), 'whole');
});
afterAll(async () => {
  bait.close();
  await rm(top, { recursive: true, force: true });
});

describe('a hostile image', () => {
  test.each(CASES.map(({ tag, verdict }) => ({ tag, verdict })))('$tag: $verdict', async ({ tag, verdict }) => {
    const state = join(top, `state-${tag}`);
    await mkdir(state);
    const ledger = memoryLedger();
    const store = createImages({
      ...{ directory: state, imageRoots: [top], run, files, ledger, clock, log: memoryLog(), insecureRegistries: [] },
    });
    const outside = async (): Promise<string[]> => (await readdir(top)).filter((name) => !name.startsWith('state-'));
    const before = await outside();
    const outcome = await store
      .ensure(`oci:${join(top, 'layout')}:${tag}`, { signal })
      .catch((error: unknown) => error);

    if (outcome instanceof Error) {
      expect(outcome).toMatchObject({ kind: 'invalid', reason: 'ImageInvalid', terminal: true });
      expect(outcome.message).toMatch(/^Cannot use image ".*": \w.{10,}/);
      expect(outcome.message).not.toMatch(/\n/);
      expect(outcome.message.length).toBeLessThan(1_000);
      const left = await readdir(state, { recursive: true });
      expect(left.filter((name) => !/^(trees|golden|scratch)$/.test(name))).toEqual([]);
      expect(ledger.all()).toEqual([]);
    } else {
      const { tree } = outcome as { tree: string };
      expect((await lstat(tree)).isDirectory()).toBe(true);
      expect(await readdir(join(state, 'scratch'))).toEqual([]);
      expect(ledger.all()).toHaveLength(1);
      // It can be made a disk of, as it is, and that is contained too.
      await store.golden(outcome as { tree: string; digest: string }, { signal });
    }
    const said = outcome instanceof Error ? outcome.message : 'contained';
    if (verdict !== 'contained') expect(said).not.toBe('contained');
    expect(said).toMatch(verdict === 'contained' ? /^contained$/ : verdict);
    expect(await outside()).toEqual(before);
    expect(await readFile(join(top, 'victim'), 'utf8')).toBe('whole');
    expect(fetched).toEqual([]);
  });
});
