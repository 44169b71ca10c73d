import { describe, expect, test } from 'vitest';
import {
  checkMetadata,
  decodedLength,
  isBase64,
  MAX_META_DATA_BYTES,
  metadataBy,
  metadataRef,
  unaskedMmds,
} from './metadata-rules.ts';
import type { InterfaceSpec } from './spec.ts';

const base64 = (text: string): string => btoa(text);
function wrongIn(metadata: Record<string, string>): readonly string[] {
  const found: string[] = [];
  checkMetadata(metadata, (field, description) => found.push(`${field}: ${description}`));
  return found;
}

describe('base64', () => {
  test.each(['', 'YQ==', 'YWI=', 'YWJj', 'YWJj\nYWJj\n', 'YWJj\r\nYWJj', '+/+/'])('%j is', (text) => {
    expect(isBase64(text)).toBe(true);
    expect(decodedLength(text)).toBe(atob(text).length);
  });
  test.each(['a', 'YQ', 'YQ=', '=YQ=', 'Y===', 'YQ==YQ==', '#!/bin/sh', 'YWJ-', 'YW Jj', 'YWJj YWJ'])(
    '%j is not',
    (text) => {
      expect(isBase64(text)).toBe(false);
    },
  );
});

test('every key may have any value in base64', () => {
  expect(wrongIn({})).toEqual([]);
  expect(wrongIn({ 'user-data': base64('x'), 'meta-data': '', 'my.own_key': base64('y'), __proto__: '' })).toEqual([]);
});

test('1 MB is taken, 1 MiB with its keys is the most', () => {
  const key = 'user-data';
  const most = 1_048_576 - key.length;
  expect(wrongIn({ [key]: base64('x'.repeat(1_000_000)) })).toEqual([]);
  expect(wrongIn({ [key]: base64('x'.repeat(most)) })).toEqual([]);
  expect(wrongIn({ [key]: base64('x'.repeat(most + 1)) })).toEqual([
    'metadata: has 1048577 bytes, decoded and with its keys: at most 1048576',
  ]);
  expect(wrongIn({ 'meta-data': base64('x'.repeat(16_385)) })).toEqual([
    'metadata[meta-data]: has 16385 bytes: at most 16384; what is longer belongs in user-data',
  ]);
});

test.each(['', '.', '..', 'a/b', '../x', 'a b', 'a\0', '-x', '.x', 'x.', 'é', 'x'.repeat(129)])('no key: %j', (key) => {
  expect(wrongIn({ [key]: '' })).toEqual([expect.stringContaining('the key must have at most 128')]);
});

test('what a FAT disk cannot tell apart, and what is no base64, is refused by its key', () => {
  expect(wrongIn({ Key: '', key: '' })).toEqual([expect.stringMatching(/^metadata\[key\]: differs from "Key"/)]);
  expect(wrongIn({ 'user-data': '#!/bin/sh\n', other: 'x' })).toEqual([
    'metadata[user-data]: is no base64: encode it, e.g. with `base64 -w0 FILE`',
    'metadata[other]: is no base64: encode it, e.g. with `base64 -w0 FILE`',
  ]);
});

test('is had from the service by who may ask, from a disk by who has any and may not', () => {
  const nic = (allowMetadata: boolean): InterfaceSpec => ({
    name: 'eth0',
    type: 'TAP',
    allowMetadata,
    publishedPorts: [],
  });
  const metadataRef = { generation: 1, bytes: 1 };
  expect(metadataBy({ interfaces: [nic(false), nic(true)] })).toEqual({ service: true, disk: false });
  expect(metadataBy({ interfaces: [nic(true)], metadataRef })).toEqual({ service: true, disk: false });
  expect(metadataBy({ interfaces: [nic(false)], metadataRef })).toEqual({ service: false, disk: true });
  expect(metadataBy({ interfaces: [], metadataRef })).toEqual({ service: false, disk: true });
  expect(metadataBy({ interfaces: [nic(false)] })).toEqual({ service: false, disk: false });
  const anyhow = { interfaces: [nic(true)], metadataAnyhow: true } as const;
  expect(metadataBy({ ...anyhow, metadataRef })).toEqual({ service: true, disk: true });
  expect(metadataBy(anyhow)).toEqual({ service: true, disk: false });
});

test('is named by the write that brought it, with what it weighs', () => {
  expect(metadataRef({}, 2)).toBeUndefined();
  expect(metadataRef({ a: '' }, 2)).toEqual({ generation: 2, bytes: 1 });
  expect(metadataRef({ 'user-data': 'YQ==', raw: 'é' }, 7)).toEqual({ generation: 7, bytes: 9 + 4 + 3 + 2 });
});

test('a VMM that answers itself is a way of its own, beside a disk where cloud-init cannot ask', () => {
  const nic = { name: 'eth0', type: 'TAP', allowMetadata: true, publishedPorts: [] } as const;
  const asking = { interfaces: [nic], metadataRef: { generation: 1, bytes: 1 } };
  const by = (mmds: string) => metadataBy({ ...asking, providerOptions: { mmds } });
  expect(by('v1')).toEqual({ service: false, disk: false, mmds: 'v1' });
  expect(by('v2')).toEqual({ service: false, disk: true, mmds: 'v2' });
  expect(by('off')).toEqual({ service: true, disk: false });
  const silent = { interfaces: [{ ...nic, allowMetadata: false }], providerOptions: { mmds: 'v2' } };
  expect(metadataBy(silent)).toEqual({ service: false, disk: false });
  expect(unaskedMmds(silent)).toMatchObject([{ field: 'provider_options[mmds]' }]);
  expect(unaskedMmds({ ...asking, providerOptions: { mmds: 'v2' } })).toEqual([]);
});

test('what a VMM answers with is text, and not much', () => {
  const wrong = (metadata: Record<string, string>): string[] => {
    const found: string[] = [];
    checkMetadata(metadata, (field, description) => void found.push(`${field}: ${description}`), false, true);
    return found;
  };
  const long = (bytes: number): string => Buffer.alloc(bytes, 'x').toString('base64');
  expect(wrong({ 'user-data': long(51_191) })).toEqual([]);
  expect(wrong({ 'user-data': long(51_192) })).toEqual([expect.stringMatching(/^metadata: has 51201 bytes.*51200/)]);
  expect(wrong({ a: '/w==', b: 'w6Q=' })).toEqual([expect.stringMatching(/^metadata\[a\]: is no text in UTF-8/)]);
});

test('a surface that takes raw values has them counted as they are', () => {
  const wrong = (value: string, isRawTaken: boolean): string[] => {
    const found: string[] = [];
    checkMetadata({ 'meta-data': value }, (_field, description) => void found.push(description), isRawTaken);
    return found;
  };
  expect(wrong('#!/bin/sh', true)).toEqual([]);
  expect(wrong('#!/bin/sh', false)).toEqual([expect.stringContaining('is no base64')]);
  expect(wrong(`#${'ä'.repeat(MAX_META_DATA_BYTES / 2)}`, true)).toEqual([expect.stringContaining('has 16385 bytes')]);
});
