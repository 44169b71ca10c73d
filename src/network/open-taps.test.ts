import { expect, test } from 'vitest';
import { openTaps } from './open-taps.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

test('the taps that a process has open, and one that was deleted', async () => {
  const links: Readonly<Record<string, string>> = {
    ...{ 3: 'socket:[7]', 4: '/dev/net/tun', 5: '/dev/kvm', 6: '/srv/jail/1/root/dev/net/tun', 8: '/dev/net/tun' },
  };
  const infos: Readonly<Record<string, string>> = {
    4: 'pos:\t0\niff:\tflabcd0\n',
    6: 'pos:\t0\niff:\t\n',
    8: 'pos:\t0\n',
  };
  const of = (path: string): string => path.split('/').at(-1) ?? '';
  const files = {
    list: async (path: string) =>
      path === '/proc/7/fd' ? [...Object.keys(links), '9'] : Promise.reject(new Error('gone')),
    readLink: async (path: string) => links[of(path)] ?? Promise.reject(new Error('closed')),
    read: async (path: string) => encode(infos[of(path)] ?? ''),
  };
  expect(await openTaps(files, 7)).toEqual(['flabcd0', '']);
  expect(await openTaps(files, 8)).toBeUndefined();
});
