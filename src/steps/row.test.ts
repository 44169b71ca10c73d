import { expect, test } from 'vitest';
import { INTENTS, ownedBy, RESULTS } from '../../test/support/ledger-rows.ts';
import {
  CACHE_KINDS,
  HOST_OWNER,
  HOST_STEP_KINDS,
  IMAGES_OWNER,
  LEDGER_KINDS,
  type Owner,
  ownerText,
} from '../domain/ledger.ts';
import type { StoredRow } from '../ports/ledger.ts';
import { kinds, schemas } from './registry.ts';

const ownerOf = (kind: string): Owner => {
  if (HOST_STEP_KINDS.some((one) => one === kind)) return HOST_OWNER;
  return CACHE_KINDS.some((one) => one === kind) ? IMAGES_OWNER : ownedBy('u');
};

const stored = (kind: string, intent: unknown, result: unknown, more: Partial<StoredRow> = {}): StoredRow => ({
  ...{ entry: 7, owner: ownerText(ownerOf(kind)), kind, key: 'k', version: 1, program: '0.1.0', made: true },
  ...{ intent: JSON.stringify(intent), result: JSON.stringify(result) },
  ...more,
});

/** A value with one part more, at each place where there may be one. */
function* withMore(value: unknown): Generator<unknown> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const [i, part] of value.entries()) for (const more of withMore(part)) yield value.with(i, more);
    return;
  }
  yield { ...value, strange: 1 };
  for (const [key, part] of Object.entries(value)) for (const more of withMore(part)) yield { ...value, [key]: more };
}

/** Maps by names that users and hosts choose: any name may be in them. */
const OPEN = /"(options|set|macvtaps)":\{[^}]*"strange"/;

for (const kind of LEDGER_KINDS) {
  const [intent, result] = [INTENTS[kind], RESULTS[kind]];

  test(`what a row of kind ${kind} was written with is what is read`, () => {
    const entry = { entry: 7, owner: ownerOf(kind), kind, key: 'k', intent };
    expect(schemas.read(stored(kind, intent, result))).toEqual({ ...entry, made: true, result });
    expect(schemas.read(stored(kind, intent, null, { made: false }))).toEqual({
      ...entry,
      made: false,
      result: undefined,
    });
  });

  test(`a row of kind ${kind} with a field that nobody knows, or of another form, is not read`, () => {
    for (const more of withMore(intent))
      if (!OPEN.test(JSON.stringify(more)))
        expect(schemas.read(stored(kind, more, result))).toMatchObject({
          why: expect.stringContaining('its intent: '),
        });
    for (const more of withMore(result))
      if (!OPEN.test(JSON.stringify(more)))
        expect(schemas.read(stored(kind, intent, more))).toMatchObject({
          why: expect.stringContaining('its result: '),
        });
    for (const wrong of [null, {}, [], 'text', 7])
      expect(schemas.read(stored(kind, wrong, result))).toMatchObject({
        owner: ownerText(ownerOf(kind)),
        kind,
        key: 'k',
        entry: 7,
        why: expect.any(String),
      });
    expect(schemas.read(stored(kind, intent, 'text'))).toHaveProperty('why');
  });
}

test('what is wrong is named', () => {
  const { device: _, ...rest } = INTENTS.tap;
  expect(schemas.read(stored('tap', rest, RESULTS.tap))).toEqual({
    ...{ entry: 7, owner: 'u', kind: 'tap', key: 'k' },
    why: 'its intent: device: Invalid input: expected string, received undefined',
  });
  expect(schemas.read(stored('tap', INTENTS.tap, {}))).toMatchObject({
    why: expect.stringMatching(/^its result: index: .*; mac: /),
  });
  expect(schemas.read(stored('tap', 0, 0, { intent: '{' }))).toMatchObject({ why: 'its intent: it is no JSON' });
});

test('a row of a newer version, or of a kind of tomorrow, says which program is needed', () => {
  const version = kinds.tap.row.version + 1;
  const row = stored('tap', { all: 'new' }, {}, { version, program: '9.1.0' });
  expect(schemas.read(row)).toMatchObject({
    why: `it is of version ${version}, and this flintlockd knows ${version - 1}: start flintlockd 9.1.0, which wrote it, or a newer one`,
  });
  expect(schemas.read(stored('hologram', {}, {}, { program: '9.1.0' }))).toMatchObject({
    why: 'this flintlockd does not know its kind: start flintlockd 9.1.0, which wrote it, or a newer one',
  });
  expect(schemas.read(stored('hologram', {}, {}, { program: '' }))).toMatchObject({
    why: expect.stringContaining('start the newer flintlockd that wrote it'),
  });
});

/** What the first daemons did not write yet. */
test('what older rows lack has a default', () => {
  const read = (kind: 'image' | 'volume' | 'vmm', intent: object, result: object) =>
    schemas.read(stored(kind, intent, result));
  const { partitionUuid: _, ...volume } = INTENTS.volume;
  expect(read('volume', volume, RESULTS.volume)).toMatchObject({ intent: { partitionUuid: null } });

  const unseen = { unseen: 'it was not looked at when it was chosen' };
  const image = { digest: 'sha256:aa', tree: '/t', kernel: { filename: 'vmlinux', path: '/k' } };
  expect(read('image', INTENTS.image, image)).toMatchObject({ result: { notes: [], kernel: { facts: unseen } } });

  const { kernelFacts, guestWords, options, cgroups, ...config } = INTENTS.vmm.config;
  expect([kernelFacts, guestWords, options, cgroups]).not.toContain(undefined);
  const { process, accelerator } = RESULTS.vmm;
  expect(read('vmm', { provider: 'qemu', config }, { process, accelerator })).toMatchObject({
    intent: { config: { kernelFacts: unseen, guestWords: [], options: {}, cgroups: [] }, cgroups: [] },
    result: { macvtaps: {} },
  });
});

test('whose a row is is parsed too: an owner of tomorrow needs its program, and nobody has what is of another', () => {
  const row = (owner: string) => schemas.read(stored('tap', INTENTS.tap, RESULTS.tap, { owner, program: '9.1.0' }));
  expect(row('01UID')).toMatchObject({ owner: { is: 'vm', uid: '01UID' } });
  for (const owner of ['snapshot:nightly', 'pool:', ''])
    expect(row(owner)).toMatchObject({
      owner,
      why: 'this flintlockd does not know whose it is: start flintlockd 9.1.0, which wrote it, or a newer one',
    });
  for (const owner of ['host', 'images'])
    expect(row(owner)).toMatchObject({ owner, why: `nothing of its kind is of ${owner}` });
  expect(schemas.read(stored('dhcp', INTENTS.dhcp, null, { owner: '01UID' }))).toHaveProperty('why');
});
