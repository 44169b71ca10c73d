import { expect, test } from 'vitest';
import { FAKE_CAPABILITIES } from '../../test/support/fake-processes.ts';
import { usableDefault } from './usable-default.ts';

const vmm = (name: string, available: boolean) => ({
  ...{ name, capabilities: FAKE_CAPABILITIES, info: async () => ({ available }) },
});

test('it is the first that this host can use, else the first', async () => {
  const named = async (...all: [boolean, ...boolean[]]): Promise<string> => {
    const [first, ...others] = all.map((is, i) => vmm('abc'[i] ?? '', is));
    return first ? (await usableDefault({ defaultVmms: [first, ...others] })).name : '';
  };
  expect(await named(true, true)).toBe('a');
  expect(await named(false, true, true)).toBe('b');
  expect(await named(false, false)).toBe('a');
});
