import { expect, test } from 'vitest';
import { fullDraft } from '../../test/support/fake-host.ts';
import { ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import type { SpecDraft } from '../domain/draft.ts';
import type { AnyEntry, ResultOf } from '../domain/ledger.ts';
import type { ImageSays } from '../domain/process.ts';
import { validate } from '../domain/validate.ts';
import { hasOwnInitrd, writeOwnInitrd } from './own-initrd.ts';

const DRAFT: SpecDraft = {
  ...fullDraft,
  initrd: { image: 'oci:/images:initrd' },
  kernel: { image: 'oci:/images:kernel', cmdline: '', addNetworkConfig: false },
  volumes: [{ id: 'root', isRoot: true, isReadOnly: false, mountPoint: '', image: 'oci:/images:root' }],
};
const PROCESS = { entrypoint: [], args: [], environment: { A: '1' }, user: '', directory: '' };

const held = (reference: string, change: Partial<ResultOf<'image'>>): AnyEntry => {
  const { saysProcess: _, ...result } = RESULTS.image;
  return {
    ...{ entry: 1, owner: ownedBy('u'), kind: 'image', key: reference, made: true },
    ...{ intent: { reference, wants: [] }, result: { ...result, ...change } },
  };
};
const INITRD = { filename: 'initrd', path: '/tree/initrd' };
const entriesWith = (isOurs: boolean, says: boolean): readonly AnyEntry[] => [
  held('oci:/images:initrd', { initrd: { ...INITRD, ...(isOurs && { takesProcess: true as const }) } }),
  held('oci:/images:root', { digest: 'sha256:root', ...(says && { saysProcess: true as const }) }),
];

test.each([
  ['its image says something', true, true, {}, true],
  ['nobody says anything', true, false, {}, false],
  ['its spec says something', true, false, { process: PROCESS }, true],
  ['its initrd is another maker’s', false, true, { process: PROCESS }, false],
])('%s', (_what, isOurs, says, change, own) => {
  expect(hasOwnInitrd({ spec: validate({ ...DRAFT, ...change }, 'x') }, entriesWith(isOurs, says))).toBe(own);
});

async function written(initrd: Uint8Array | undefined, says: ImageSays): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  await writeOwnInitrd('/state/vm/u', {
    vm: { spec: validate(DRAFT, 'x') },
    entries: entriesWith(true, true),
    signal: new AbortController().signal,
    ports: {
      images: { says: () => says },
      files: {
        read: async (_path, { offset = 0, maxBytes = 0 } = {}) => initrd?.subarray(offset, offset + maxBytes),
        write: async (path, data, options) => {
          expect([path, options?.mode]).toEqual(['/state/vm/u/initrd', 0o600]);
          if (typeof data === 'string' || data instanceof Uint8Array) throw new Error('it comes piece by piece');
          for await (const piece of data) pieces.push(piece);
        },
      },
    },
  });
  return Buffer.concat(pieces);
}

const SAYS: ImageSays = { entrypoint: ['/x'], args: [], environment: [], user: '', directory: '' };

test.each([1, 4, (1 << 20) + 3])(
  'what is to run stands behind an initrd of %i bytes, where Linux looks',
  async (size) => {
    const initrd = Buffer.alloc(size, 7);
    const all = await written(initrd, SAYS);
    expect(all.subarray(0, size).equals(initrd)).toBe(true);
    const at = all.indexOf('070701');
    expect([at % 4, at - size < 4]).toEqual([0, true]);
    expect(all.includes('process/run\0')).toBe(true);
    expect(all.includes('"cmd":"/x"')).toBe(true);
  },
);

test('an initrd that went is told, and not taken for an empty one', async () => {
  await expect(written(undefined, SAYS)).rejects.toMatchObject({ kind: 'tool', reason: 'InitrdNotFound' });
});
