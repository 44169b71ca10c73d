import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeCorpus } from '../../test/support/image-corpus.ts';
import { type Foreign, foreign, makeForeign } from '../../test/support/layer-corpus.ts';
import { listTree } from '../../test/support/list-tree.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { ImageStore } from '../ports/images.ts';
import { createImages } from './images.ts';

const signal = new AbortController().signal;
const IMAGES: readonly Foreign[] = foreign();

let top: string;
let images: ImageStore;

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-foreign-'));
  await mkdir(join(top, 'state'));
  await writeCorpus(
    join(top, 'layout'),
    IMAGES.map((image) => ({ tag: image.tag, make: (blobs) => makeForeign(blobs, image) })),
  );
  images = createImages({
    ...{ directory: join(top, 'state'), imageRoots: [top], run, files, ledger: memoryLedger(), clock },
    ...{ log: memoryLog(), insecureRegistries: [] },
  });
});
afterAll(() => rm(top, { recursive: true, force: true }));

test.each(IMAGES.map(({ tag, tree }) => ({ tag, tree })))('$tag', async ({ tag, tree }) => {
  const image = await images.ensure(`oci:${join(top, 'layout')}:${tag}`, { signal });
  const [root, ...rest] = listTree(image.tree);
  expect(root === '. directory 0755 0:0 @0' ? rest : [root, ...rest]).toEqual(tree);
});
