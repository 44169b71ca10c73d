import { expect, test, vi } from 'vitest';
import type { Check } from '../../src/doctor/check.ts';
import type { Vmm } from '../../src/ports/vmm.ts';
import { defineProvider } from '../../src/vmm/provider.ts';
import { PROVIDERS } from '../../src/vmm/registry.ts';
import { FAKE_CAPABILITIES } from '../support/fake-processes.ts';

const check: Check = { name: 'ghost', examine: async () => [] };
/** A folder with one file, as far as anybody outside can tell. */
const ghost = defineProvider({
  name: 'ghost',
  title: 'Ghost',
  settings: {
    'ghost-bin': { help: "Ghost's program", value: 'PATH', default: 'ghostly', isProgram: true },
    'ghost-mode': { help: 'how', value: 'a|b', default: 'a', choices: ['a', 'b'] },
  },
  options: { 'ghost.mood': { values: ['good'], help: 'how it feels' } },
  machines: [{ when: 'always', capabilities: FAKE_CAPABILITIES }],
  checks: [check],
  create: async () => ({ name: 'ghost' }) as Vmm,
});

test('a provider is there for daemon and doctor by its line in the registry alone', async () => {
  // The one other file that a new provider touches.
  vi.doMock('../../src/vmm/registry.ts', async (original) => ({
    ...(await original<typeof import('../../src/vmm/registry.ts')>()),
    PROVIDERS: [...PROVIDERS, ghost],
  }));
  vi.resetModules();
  const { configure } = await import('../../src/daemon/config.ts');
  const { CHECKS, PROGRAM_SETTINGS } = await import('../../src/doctor/doctor.ts');

  const { config } = configure({ insecure: true }, {}, undefined);
  expect(config).toMatchObject({ 'ghost-bin': 'ghostly', 'ghost-mode': 'a' });
  expect(config['default-provider']).toEqual([...PROVIDERS.map(({ name }) => name), 'ghost']);
  expect(configure({ insecure: true, 'default-provider': 'ghost' }, {}, undefined).config['default-provider']).toEqual([
    'ghost',
  ]);
  expect(() => configure({ insecure: true, ...{ 'ghost-mode': 'c' } }, {}, undefined)).toThrow(/ghost-mode/);
  expect(CHECKS).toContain(check);
  expect(PROGRAM_SETTINGS).toContainEqual({ name: 'ghost-bin', help: "Ghost's program", standard: 'ghostly' });
  vi.doUnmock('../../src/vmm/registry.ts');
});
