import { expect, test } from 'vitest';
import type { Vmm } from '../ports/vmm.ts';
import { defineProvider, type ProviderDeps } from './provider.ts';
import { PROVIDERS } from './registry.ts';

const deps = {} as ProviderDeps;

test('a provider is made with its own settings, and only what they may be', async () => {
  const made: unknown[] = [];
  const provider = defineProvider({
    name: 'ghost',
    title: 'Ghost',
    settings: {
      'ghost-bin': { help: 'its program', value: 'PATH', default: 'ghost' },
      'ghost-mode': { help: 'how', value: 'a|b', default: 'a', choices: ['a', 'b'] },
    },
    options: {},
    machines: [],
    checks: [],
    create: async (_deps, settings) => {
      // Typed: another comparison would not compile.
      made.push(settings, settings['ghost-mode'] === 'b');
      return {} as Vmm;
    },
  });
  await provider.create(deps, { 'ghost-bin': '/g', 'ghost-mode': 'b', 'state-dir': '/s' });
  expect(made).toEqual([{ 'ghost-bin': '/g', 'ghost-mode': 'b' }, true]);
  await expect(provider.create(deps, { 'ghost-bin': '/g', 'ghost-mode': 'c' })).rejects.toThrow(/ghost-mode.*"c"/);
  await expect(provider.create(deps, { 'ghost-mode': 'a' })).rejects.toThrow(/ghost-bin/);
});

test.each(PROVIDERS.map((provider) => ({ provider })))('$provider.name is whole', ({ provider }) => {
  const { name, settings, options, machines, checks } = provider;
  expect(machines.length).toBeGreaterThan(0);
  expect(checks.length).toBeGreaterThan(0);
  for (const setting of Object.keys(settings)) expect(setting).toMatch(new RegExp(`^${name}-`));
  for (const option of Object.keys(options)) expect(option).toMatch(new RegExp(`^${name}\\.`));
  for (const { capabilities } of machines) {
    expect(capabilities.diskFormats).toContain('raw'); // read-only volumes and metadata are raw
    expect(capabilities.channels.includes('console')).toBe(capabilities.consoleInput);
    expect(capabilities.limits.devices.most).toBeGreaterThanOrEqual(capabilities.limits.disks);
  }
});
