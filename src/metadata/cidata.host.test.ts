import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SAMPLE_UID, sampleRecord } from '../../test/support/fake-services.ts';
import type { Metadata } from '../domain/spec.ts';
import { files } from '../host/files.ts';
import { run } from '../host/run.ts';
import { createCidataDisks } from './cidata.ts';

const limits = { signal: AbortSignal.timeout(100_000), timeoutMs: 20_000 };
let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flintlock-cidata-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const base64 = (bytes: string | Buffer): string => Buffer.from(bytes).toString('base64');
const vm = sampleRecord();
const disksOf = (metadata: Metadata) => createCidataDisks({ run, files, store: { metadataOf: () => metadata } });

test('holds every key as a file, under the label that cloud-init looks for', async () => {
  const path = `${directory}/cidata.img`;
  const big = Buffer.alloc(1_000_000, 'abc\n');
  const disks = disksOf({ 'user-data': base64('#!/bin/sh\n'), 'meta-data': base64('a: b\n'), 'Big.Key': base64(big) });
  await disks.make(path, vm, [], limits.signal);
  await disks.make(path, vm, [], limits.signal); // again, after a crash
  expect(await run(['blkid', '-o', 'export', '-p', path], limits)).toMatch(/LABEL=CIDATA\n.*TYPE=vfat\n/s);
  expect(await run(['mtype', '-i', path, '::user-data'], limits)).toBe('#!/bin/sh\n');
  expect(await run(['mtype', '-i', path, '::meta-data'], limits)).toBe(
    `a: b\ninstance-id: ${SAMPLE_UID}\ninstance_id: ${SAMPLE_UID}\nlocal-hostname: web\nlocal_hostname: web\n`,
  );
  await run(['mcopy', '-i', path, '::Big.Key', `${directory}/out`], limits);
  expect(Buffer.from((await files.read(`${directory}/out`)) ?? []).equals(big)).toBe(true);
  expect((await run(['mdir', '-b', '-i', path, '::'], limits)).trim().split('\n').toSorted()).toEqual([
    '::/Big.Key',
    '::/meta-data',
    '::/user-data',
    '::/vendor-data',
  ]);
  expect((await files.stat(path))?.mode).toBe(0o600);
  expect(await files.list(directory)).toEqual(['cidata.img', 'out']);
  await disks.remove(path);
  await disks.remove(path);
  expect(await files.list(directory)).toEqual(['out']);
});

test('says of interfaces what there is to say', async () => {
  const path = `${directory}/cidata.img`;
  await disksOf({}).make(path, vm, [{ name: 'eth5', mac: '02:00:00:00:00:05' }], limits.signal);
  expect(await run(['mtype', '-i', path, '::network-config'], limits)).toContain('set-name: eth5');
});
