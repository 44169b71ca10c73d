import { expect, test } from 'vitest';
import { addressText, parseAddress } from './address.ts';
import { duration } from './duration.ts';
import { nearest } from './nearest.ts';
import { ageText, bytesText, secondsText } from './print/units.ts';
import { parseTarget } from './target.ts';

test.for([
  { text: 'unix:///run/a.sock', address: { socket: '/run/a.sock' }, back: 'unix:///run/a.sock' },
  { text: 'host:1', address: { host: 'host', port: 1 }, back: 'host:1' },
  { text: 'host', address: { host: 'host', port: 9090 }, back: 'host:9090' },
  { text: 'https://host:1', address: { host: 'host', port: 1, secure: true }, back: 'https://host:1' },
  { text: 'http://[::1]', address: { host: '::1', port: 9090, secure: false }, back: '[::1]:9090' },
  { text: '[::1]:8000', address: { host: '::1', port: 8000 }, back: '[::1]:8000' },
])('address $text', ({ text, address, back }) => {
  expect(parseAddress(text)).toEqual(address);
  expect(addressText(address)).toBe(back);
});

test.for([
  '',
  'unix://',
  'host:0',
  'host:65536',
  'host:x',
  '::1',
  'https://',
  'ftp://host:1',
  'https://host:1/',
  'a b:1',
  'a/b',
])('no address: "%s"', (text) => {
  expect(() => parseAddress(text)).toThrow('no address of a daemon');
});

test.for([
  ['500ms', 500],
  ['7', 7_000],
  ['31d', 2_678_400_000],
] as const)('time %s is %d ms', ([text, ms]) => {
  expect(duration(text)).toBe(ms);
});

test.for(['', '-1s', '32d', '10000h', 's'])('no time: "%s"', (text) => {
  expect(() => duration(text)).toThrow('Write for instance');
});

test.for(['', '/', 'a/', '/a', 'a/b/c'])('names no microVM: "%s"', (text) => {
  expect(() => parseTarget(text)).toThrow('names no microVM');
});

test('the nearest name, or none', () => {
  const names = ['vcpu', 'memory_in_mb', 'is_read_only', 'restart_policy', 'id'];
  expect(nearest('vpcu', names)).toBe('vcpu');
  expect(nearest('memoryInMB', names)).toBe('memory_in_mb');
  expect(nearest('restart-polcy', names)).toBe('restart_policy');
  expect(nearest('colour', names)).toBeUndefined();
});

test('figures for people', () => {
  expect([0, 1023, 1536, 3n << 20n, 2 ** 45].map(bytesText)).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '3.0 MiB',
    '32.0 TiB',
  ]);
  expect([-5, 1_000, 119_000, 120_000, 7_200_000, 172_800_000].map(ageText)).toEqual([
    '0s',
    '1s',
    '119s',
    '2m',
    '2h',
    '2d',
  ]);
  expect([40, 9_960, 75_400].map(secondsText)).toEqual(['0.0 s', '10.0 s', '75 s']);
});
