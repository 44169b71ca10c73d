import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { makeImage } from './make-image.ts';

test('layers are archives that others take: whole ones, that belong to root', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-image-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const layout = join(directory, 'layout');
  makeImage({ layout, tag: 'one', demo: true, files: { '/etc/hostname': 'mine\n' } });
  const blob = (digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));
  const [{ digest }] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests;
  const { layers } = JSON.parse(readFileSync(blob(digest), 'utf8')) as { layers: readonly { digest: string }[] };
  expect(layers).toHaveLength(2);
  for (const layer of layers) {
    const archive = gunzipSync(readFileSync(blob(layer.digest)));
    expect(archive.subarray(-1024).every((byte) => byte === 0)).toBe(true);
    const listed = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--file=-'], { input: archive });
    expect(listed.toString()).toMatch(/ 0\/0 /);
    execFileSync('python3', ['-c', LIST], { input: archive });
  }
});

const LIST = 'import sys, tarfile; assert len(list(tarfile.open(fileobj=sys.stdin.buffer, mode="r|"))) > 0';

test('the demo system with files over it, unpacked again by umoci', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-image-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const layout = join(directory, 'layout');
  const files = { '/etc/flintlock/run': { content: '#!/bin/sh\necho ran\n', mode: 0o755 }, '/etc/hostname': 'mine\n' };
  expect(makeImage({ layout, tag: 'one', demo: true, files })).toBe(`oci:${layout}:one`);
  expect(makeImage({ layout, tag: 'two', files: { '/only': new Uint8Array([0, 255]) } })).toBe(`oci:${layout}:two`);

  const unpack = (tag: string): string => {
    const tree = join(directory, tag);
    execFileSync('umoci', ['raw', 'unpack', '--image', `${layout}:${tag}`, tree], { stdio: 'ignore' });
    return tree;
  };
  const one = unpack('one');
  expect(readFileSync(join(one, 'etc/hostname'), 'utf8')).toBe('mine\n');
  expect(statSync(join(one, 'etc/flintlock/run')).mode & 0o777).toBe(0o755);
  expect(statSync(join(one, 'etc/init.d/rcS')).mode & 0o111).toBe(0o111);
  expect(statSync(join(one, 'etc')).uid).toBe(0);
  expect(statSync(join(one)).mode & 0o777).toBe(0o755);
  expect(statSync(join(one, 'bin/busybox')).size).toBeGreaterThan(100_000);
  expect(readFileSync(join(unpack('two'), 'only'))).toEqual(Buffer.from([0, 255]));
});
