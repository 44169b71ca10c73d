import { expect, test } from 'vitest';
import { commonOptionsLack, ownOptions } from './common-options.ts';

const MACHINE = { machine: 'A machine', channels: ['console'] } as const;
const WITH_AGENT = { machine: 'A machine', channels: ['console', 'agent'] } as const;

test('agent is on or off, and on only where the machine can have it', () => {
  for (const options of [{}, { agent: 'off' }]) expect(commonOptionsLack(options, MACHINE)).toEqual([]);
  expect(commonOptionsLack({ agent: 'on' }, WITH_AGENT)).toEqual([]);
  expect(commonOptionsLack({ agent: 'on' }, MACHINE)).toMatchObject([{ field: 'provider_options[agent]' }]);
  expect(commonOptionsLack({ agent: 'maybe' }, WITH_AGENT)).toMatchObject([
    { description: '"maybe" must be on or off' },
  ]);
});

test('a provider is asked of its own options alone', () => {
  expect(ownOptions({ agent: 'off', 'qemu.acpi': 'off' })).toEqual({ 'qemu.acpi': 'off' });
});
