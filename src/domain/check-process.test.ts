import { expect, test } from 'vitest';
import { fullDraft } from '../../test/support/fake-host.ts';
import { MAX_PROCESS_BYTES, toProcess } from './check-process.ts';
import type { ProcessDraft, SpecDraft } from './draft.ts';
import { Fault } from './fault.ts';
import { validate } from './validate.ts';

const NOTHING: ProcessDraft = { entrypoint: [], args: [], environment: {}, user: '', directory: '' };
const DRAFT: SpecDraft = {
  ...fullDraft,
  initrd: { image: 'oci:/images:initrd' },
  kernel: { image: 'oci:/images:kernel', cmdline: 'quiet', addNetworkConfig: false },
};

const { initrd: _, ...NO_INITRD } = DRAFT;

function wrongWith(process: Partial<ProcessDraft>, draft: SpecDraft = DRAFT): readonly string[] {
  try {
    validate({ ...draft, process: { ...NOTHING, ...process } }, 'x');
    return [];
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return error.violations.map(({ field }) => field);
  }
}

test.each<[Partial<ProcessDraft>, readonly string[]]>([
  [{}, []],
  [{ entrypoint: ['sh'], args: ['-c', ''], environment: { A: '' }, user: 'a:b', directory: '/' }, []],
  [{ entrypoint: [''], args: ['ls'] }, []],
  [{ entrypoint: [''] }, ['process.args']],
  [{ entrypoint: ['', 'x'] }, ['process.entrypoint']],
  [{ args: ['a\0b'] }, ['process.args']],
  [{ args: ['\ud800'] }, ['process.args']],
  [{ args: Array.from({ length: 5_000 }, () => 'x') }, ['process.args']],
  [{ environment: { '': 'x' } }, ['process.environment[]']],
  [{ environment: { 'A=B': 'x' } }, ['process.environment[A=B]']],
  [{ environment: { A: '\0' } }, ['process.environment[A]']],
  [{ environment: { A: 'x'.repeat(MAX_PROCESS_BYTES) } }, ['process']],
  [{ user: 'a\nb' }, ['process.user']],
  [{ user: 'x'.repeat(256) }, ['process.user']],
  [{ directory: 'srv' }, ['process.directory']],
  [{ directory: `/${'x'.repeat(4095)}` }, ['process.directory']],
])('%j', (process, fields) => {
  expect(wrongWith(process)).toEqual(fields);
});

test('a program needs an initrd and a root, and no other that says what runs', () => {
  const words = { args: ['ls'] };
  const kernel = (cmdline: string) => ({
    ...DRAFT,
    kernel: { image: 'oci:/images:kernel', cmdline, addNetworkConfig: false },
  });
  expect(wrongWith(words, NO_INITRD)).toEqual(['process']);
  expect(wrongWith({ user: '7' }, NO_INITRD)).toEqual([]);
  expect(wrongWith(words, { ...DRAFT, volumes: [] })).toContain('process');
  expect(wrongWith(words, kernel('quiet init=/bin/sh'))).toEqual(['kernel.cmdline']);
  expect(wrongWith(words, kernel('quiet -- ls'))).toEqual(['kernel.cmdline']);
});

test('one empty text is no entrypoint, and none given is the image’s', () => {
  expect(toProcess({ ...NOTHING, entrypoint: [''], args: ['ls'] })).toMatchObject({ entrypoint: [], args: ['ls'] });
  expect(toProcess(NOTHING)).toEqual({ environment: {}, user: '', directory: '' });
});
