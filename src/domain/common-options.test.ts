import { expect, test } from 'vitest';
import { commonOptionsLack, ownOptions } from './common-options.ts';

const MACHINE = { machine: 'A machine', channels: ['console'], balloon: false, mmds: false } as const;
const WITH_AGENT = { machine: 'A machine', channels: ['console', 'agent'], balloon: true, mmds: true } as const;

test('agent is on or off, and on only where the machine can have it', () => {
  for (const options of [{}, { agent: 'off' }]) expect(commonOptionsLack(options, MACHINE)).toEqual([]);
  expect(commonOptionsLack({ agent: 'on' }, WITH_AGENT)).toEqual([]);
  expect(commonOptionsLack({ agent: 'on' }, MACHINE)).toMatchObject([{ field: 'provider_options[agent]' }]);
  expect(commonOptionsLack({ agent: 'maybe' }, WITH_AGENT)).toMatchObject([
    { description: '"maybe" must be on or off' },
  ]);
});

test('a balloon is there where it is asked for, and refused where the machine has none', () => {
  for (const options of [{}, { balloon: 'off' }]) expect(commonOptionsLack(options, MACHINE)).toEqual([]);
  expect(commonOptionsLack({ balloon: 'on' }, WITH_AGENT)).toEqual([]);
  expect(commonOptionsLack({ balloon: 'on' }, MACHINE)).toEqual([
    { field: 'provider_options[balloon]', description: 'is on, and A machine has no balloon' },
  ]);
  expect(commonOptionsLack({ balloon: '64' }, WITH_AGENT)).toMatchObject([{ description: '"64" must be on or off' }]);
});

test('mmds is a version or off, and a version only where the machine answers', () => {
  expect(commonOptionsLack({ mmds: 'off' }, MACHINE)).toEqual([]);
  for (const mmds of ['v1', 'v2']) expect(commonOptionsLack({ mmds }, WITH_AGENT)).toEqual([]);
  expect(commonOptionsLack({ mmds: 'v2' }, MACHINE)).toEqual([
    {
      field: 'provider_options[mmds]',
      description: expect.stringMatching(/^is v2, and A machine answers no metadata/),
    },
  ]);
  for (const mmds of ['V2', '3', ''])
    expect(commonOptionsLack({ mmds }, WITH_AGENT)).toMatchObject([{ description: `"${mmds}" must be v1, v2 or off` }]);
});

test('a provider is asked of its own options alone', () => {
  expect(ownOptions({ agent: 'off', 'qemu.acpi': 'off' })).toEqual({ 'qemu.acpi': 'off' });
});
