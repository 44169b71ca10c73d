import { describe, expect, test } from 'vitest';
import type { VolumeSpec } from '../domain/spec.ts';
import { asJson, asText, lookUp } from './node.ts';
import { type Seed, seedOf } from './seed.ts';
import type { MetadataSource } from './source.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const volume = (id: string, mountPoint: string, more: Partial<VolumeSpec> = {}): VolumeSpec => ({
  ...{ id, mountPoint, image: 'x', isRoot: false, isReadOnly: false },
  ...more,
});
const root = volume('root', '', { isRoot: true });

function seed(texts: Record<string, string>, more: Partial<MetadataSource> = {}): Seed {
  const metadata = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, base64(text)]));
  return seedOf({ uid: '01UID', metadata, volumes: [root], nics: [], ...more });
}
const file = ({ files }: Seed, name: string): string => Buffer.from(files.get(name) ?? 'none').toString();
const at = ({ tree }: Seed, path: string): string | undefined => {
  const node = lookUp(tree, path);
  const text = node && asText(node);
  return text && Buffer.from(text).toString();
};

describe('meta-data', () => {
  test('without any has the uid, and the name in DNS', () => {
    const made = seed({}, { hostname: 'web' });
    expect(file(made, 'meta-data')).toBe(
      'instance-id: 01UID\ninstance_id: 01UID\nlocal-hostname: web\nlocal_hostname: web\n',
    );
    expect(at(made, '/latest/meta-data/instance-id')).toBe('01UID');
    expect(at(seed({}), '/latest/meta-data')).toBe('instance-id\ninstance_id');
  });

  test.each([
    ['instance_id: ns0/mvm0\nlocal_hostname: mvm0\nplatform: liquid_metal\n', 'ns0/mvm0', 'mvm0'],
    ['instance-id: i-1\nlocal-hostname: h', 'i-1', 'h'],
    ['instance-id: ""\ninstance_id: other\n', 'other', 'web'],
    ['local-hostname: h', '01UID', 'h'],
    ['instance-id: a\ninstance_id: b\n', 'a', 'web'],
    ['# nothing\n', '01UID', 'web'],
  ])('serves both spellings from one value: %j', (text, id, hostname) => {
    const made = seed({ 'meta-data': text }, { hostname: 'web' });
    for (const key of ['instance-id', 'instance_id']) expect(at(made, `latest/meta-data/${key}`)).toBe(id);
    for (const key of ['local-hostname', 'local_hostname']) expect(at(made, `latest/meta-data/${key}`)).toBe(hostname);
    expect(file(made, 'meta-data')).toMatch(new RegExp(`instance-id: "?${id}"?\n`));
  });

  test('keeps what else there is, as it was written', () => {
    const text = 'a: 0123 # why\nb: yes\nd:\n  deep: [x, y]\n';
    const made = seed({ 'meta-data': text });
    expect(file(made, 'meta-data')).toBe(
      'a: 0123 # why\nb: yes\nd:\n  deep: [ x, y ]\ninstance-id: 01UID\ninstance_id: 01UID\n',
    );
    expect(at(made, 'latest/meta-data/a')).toBe('0123');
    expect(at(made, 'latest/meta-data/d/')).toBe('deep');
    expect(at(made, 'latest/meta-data/d/deep')).toBeUndefined(); // a list has no text form
    expect(at(made, 'latest/meta-data/d/deep/1')).toBe('y');
    expect(asJson(lookUp(made.tree, 'latest/meta-data') ?? [])).toBe(
      '{"a":"0123","b":"yes","d":{"deep":["x","y"]},"instance-id":"01UID","instance_id":"01UID"}',
    );
  });

  test.each(['just text', '- a\n- b\n', 'a: [', '\0\xff', `a: ${'x'.repeat(17_000)}`])(
    'serves as it is what it cannot take apart: %.20j',
    (text) => {
      const made = seed({ 'meta-data': text });
      expect(file(made, 'meta-data')).toBe(text);
      expect(at(made, 'latest/meta-data')).toBe(text);
    },
  );

  test('is not made to grow without end', () => {
    const lines = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (const [i, c] of [...'bcdefgh'].entries()) lines.push(`${c}: &${c} [${`*${'abcdefg'[i]},`.repeat(10)}]`);
    const text = lines.join('\n');
    expect(file(seed({ 'meta-data': text }), 'meta-data')).toBe(text);
  });

  test('has no key of its own that is a property of every object', () => {
    const made = seed({ 'meta-data': '__proto__: x\nconstructor: y\n' });
    expect(at(made, 'latest/meta-data/constructor')).toBe('y');
    expect(at(made, 'latest/meta-data/__proto__')).toBe('x');
    expect(at(made, 'latest/toString')).toBeUndefined();
  });
});

describe('the other keys', () => {
  test('those that cloud-init asks for are always there', () => {
    const made = seed({});
    expect([...made.files.keys()].toSorted()).toEqual(['meta-data', 'network-config', 'user-data', 'vendor-data']);
    expect(file(made, 'user-data')).toBe('');
    expect(file(made, 'vendor-data')).toContain('text/cloud-boothook');
    expect(at(made, 'latest')).toBe('meta-data/\nnetwork-config\nuser-data\nvendor-data');
    expect(at(made, '/')).toBe('latest/');
  });

  test('the user’s own lie beside them', () => {
    const made = seed({ 'user-data': '#!/bin/sh\n', 'my.key': 'mine', 'network-config': 'version: 1\n' });
    expect(at(made, 'latest/my.key')).toBe('mine');
    expect(file(made, 'my.key')).toBe('mine');
    expect(file(made, 'network-config')).toBe('version: 1\n');
    expect(file(made, 'user-data')).toBe('#!/bin/sh\n');
  });

  test('network-config names each interface', () => {
    const nics = [{ name: 'eth1', mac: '02:00:00:00:00:01' }];
    expect(file(seed({}, { nics }), 'network-config')).toContain('set-name: eth1');
  });

  test('bytes stay bytes, and what is no base64 is served as it is', () => {
    const metadata = { bin: Buffer.from([0, 255, 254]).toString('base64'), raw: '#!/bin/bash\n' };
    const { files } = seedOf({ uid: 'u', metadata, volumes: [], nics: [] });
    expect([...(files.get('bin') ?? [])]).toEqual([0, 255, 254]);
    expect(String(files.get('raw'))).toBe('#!/bin/bash\n');
    expect(asJson(new Map([['bin', files.get('bin') ?? []]]))).toBeUndefined();
  });
});

describe('vendor-data', () => {
  const volumes = [root, volume('b', '/data/b', { isReadOnly: true }), volume('a', '/data', { partitionId: 'x' })];

  const SCRIPT = 'text/cloud-boothook';
  const typesOf = (message: string): readonly (string | undefined)[] =>
    partsOf(message).map(({ head }) => /Content-Type: (.*)/.exec(head)?.[1]);

  test('mounts the volumes, parents first', () => {
    const message = file(seed({}, { volumes }), 'vendor-data');
    expect(typesOf(message)).toEqual(['text/cloud-config', SCRIPT]);
    const made = partsOf(message)[0]?.text ?? '';
    expect(made.startsWith('#cloud-config\n')).toBe(true);
    expect(made.split('mounts:\n')[1]).toBe(
      '  - ["/dev/vdc1","/data"]\n  - ["/dev/vdb","/data/b","auto","ro,nofail","0","0"]\n',
    );
  });

  test('where an interface has a name of its own, tells whether it has it', () => {
    const nics = [{ name: 'lan0', mac: '02:00:00:00:00:01' }];
    const message = file(seed({}, { nics }), 'vendor-data');
    expect(typesOf(message)).toEqual([SCRIPT]);
    expect(partsOf(message)[0]?.head).toContain('filename="flintlock-configured"');
    expect(partsOf(message)[0]?.text).toContain("'nic' 'lan0' '02:00:00:00:00:01' ''");
  });

  test('supplies what a runtime would where nothing else is to be seen to, behind the user’s', () => {
    const message = file(seed({ 'vendor-data': '#cloud-config\nx: 1\n' }), 'vendor-data');
    expect(typesOf(message)).toEqual(['text/plain', SCRIPT]);
    expect(partsOf(message)[0]?.text).toBe('#cloud-config\nx: 1\n');
    expect(partsOf(message)[1]?.text).toContain('127.0.0.1 localhost');
    expect(partsOf(message)[1]?.text).not.toContain('configured nics=');
  });

  test('keeps the user’s as a part of one message, ours behind it', () => {
    const user = `#cloud-config\nunknown_key: [1, 2]\nmounts: [[/dev/vdz, /z]]\n# ${'long '.repeat(40)}\n`;
    const parts = partsOf(file(seed({ 'vendor-data': user }, { volumes }), 'vendor-data'));
    expect(parts.map(({ head }) => /Content-Type: (.*)/.exec(head)?.[1])).toEqual([
      ...['text/plain', 'text/cloud-config', SCRIPT],
    ]);
    expect(parts[0]?.text).toBe(user);
    expect(parts[1]?.text).toContain('["/dev/vdc1","/data"]');
    for (const { body } of parts) for (const line of body.split('\n')) expect(line.length).toBeLessThanOrEqual(76);
  });

  test('takes a message of the user’s as it is, and a compressed one as such', () => {
    const mime = 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="X"\n\n--X\n\n#!/bin/sh\n--X--\n';
    expect(file(seed({ 'vendor-data': mime }, { volumes }), 'vendor-data')).toContain(`\n${mime}`);
    const metadata = { 'vendor-data': Buffer.from([0x1f, 0x8b, 8, 0]).toString('base64') };
    const made = seedOf({ uid: 'u', metadata, volumes, nics: [] });
    expect(file(made, 'vendor-data')).toContain('Content-Type: application/gzip');
  });
});

function partsOf(message: string): readonly { readonly head: string; readonly body: string; readonly text: string }[] {
  const boundary = /boundary="([^"]+)"/.exec(message)?.[1] ?? '';
  const parts = message.split(`--${boundary}`).slice(1, -1);
  return parts.map((part) => {
    const [head = '', body = ''] = part.trim().split('\n\n');
    return { head, body, text: Buffer.from(body, 'base64').toString() };
  });
}
