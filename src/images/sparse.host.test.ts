import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeCorpus } from '../../test/support/image-corpus.ts';
import { listTree } from '../../test/support/list-tree.ts';
import { memoryLedger } from '../../test/support/memory-ledger.ts';
import { memoryLog } from '../../test/support/memory-log.ts';
import { clock } from '../host/clock.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import type { ImageStore } from '../ports/images.ts';
import { createImages } from './images.ts';

const signal = new AbortController().signal;
const MB = 1 << 20;
/** How tools of others write archives. */
const WAYS: Readonly<Record<string, readonly string[]>> = {
  'gnu-sparse': ['tar', '--format=gnu', '--sparse'],
  'oldgnu-sparse': ['tar', '--format=oldgnu', '--sparse'],
  'posix-sparse-0.0': ['tar', '--format=posix', '--sparse', '--sparse-version=0.0'],
  'posix-sparse-0.1': ['tar', '--format=posix', '--sparse', '--sparse-version=0.1'],
  'posix-sparse-1.0': ['tar', '--format=posix', '--sparse', '--sparse-version=1.0'],
  gnu: ['tar', '--format=gnu'],
  posix: ['tar', '--format=posix'],
  busybox: ['busybox', 'tar'],
};

let top: string;
let images: ImageStore;
let source: string;

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'fl-sparse-'));
  source = join(top, 'source');
  mkdirSync(join(source, 'd'.repeat(90), 'e'.repeat(90)), { recursive: true });
  writeFileSync(join(source, 'd'.repeat(90), 'e'.repeat(90), 'long'), 'long');
  const holes = openSync(join(source, 'holes'), 'w');
  // More pieces than a header of GNU's old form has room for.
  for (let i = 0; i < 60; i++) writeSync(holes, `piece ${i}`, i * 256 * 1024 + i);
  closeSync(holes);
  truncateSync(join(source, 'holes'), 20 * MB);
  writeFileSync(join(source, 'all-hole'), '');
  truncateSync(join(source, 'all-hole'), 3 * MB);
  writeFileSync(join(source, 'plain'), 'plain');
  const archives = Object.entries(WAYS).map(([tag, [tool = '', ...flags]]) => {
    const archive = execFileSync(tool, [...flags, '-cf', '-', '-C', source, '.'], { maxBuffer: 100 * MB });
    const mediaType = 'application/vnd.oci.image.layer.v1.tar';
    return {
      tag,
      make: (blobs: Parameters<Parameters<typeof writeCorpus>[1][number]['make']>[0]) =>
        blobs.image([blobs.packedLayer(archive, archive, mediaType)]),
    };
  });
  await writeCorpus(join(top, 'layout'), archives);
  mkdirSync(join(top, 'state'));
  images = createImages({
    ...{ directory: join(top, 'state'), imageRoots: [top], run, files, ledger: memoryLedger(), clock },
    ...{ log: memoryLog(), insecureRegistries: [] },
  });
});
afterAll(() => rm(top, { recursive: true, force: true }));

const hashOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
/** Without times: not every form has their fractions. */
const linesOf = (tree: string): readonly string[] => listTree(tree).map((line) => line.replace(/ @[\d.]+/, ''));

test.each(Object.keys(WAYS))('an archive by %s is the same tree', async (tag) => {
  const { tree } = await images.ensure(`oci:${join(top, 'layout')}:${tag}`, { signal });
  expect(linesOf(tree)).toEqual(linesOf(source));
  for (const name of ['holes', 'all-hole']) expect(hashOf(join(tree, name)), name).toBe(hashOf(join(source, name)));
  // What comes with holes is written with them.
  if (tag.includes('sparse')) expect(statSync(join(tree, 'holes')).blocks * 512).toBeLessThan(MB);
});
