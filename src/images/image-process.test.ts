import { expect, test } from 'vitest';
import { parseProcess } from './image-process.ts';

const NOTHING = { entrypoint: [], args: [], environment: [], user: '', directory: '' };

test('as Docker writes it', () => {
  const says = parseProcess({
    ...{ Hostname: '', Domainname: '', AttachStdin: false, Tty: false, Image: '', Volumes: null, OnBuild: null },
    ...{ ExposedPorts: { '80/tcp': {} }, Labels: { a: 'b' } },
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'NGINX_VERSION=1.29.0'],
    ...{ Cmd: ['nginx', '-g', 'daemon off;'], Entrypoint: ['/docker-entrypoint.sh'] },
    ...{ WorkingDir: '/', User: '', StopSignal: 'SIGQUIT' },
  });
  expect(says).toEqual({
    ...{ entrypoint: ['/docker-entrypoint.sh'], args: ['nginx', '-g', 'daemon off;'], user: '', directory: '/' },
    environment: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'NGINX_VERSION=1.29.0'],
    stopSignal: 3,
  });
});

test.each([undefined, null, {}, { Entrypoint: null, Cmd: null, Env: null }, { Cmd: [], User: '', WorkingDir: '' }])(
  'nothing is said by %j',
  (config) => {
    expect(parseProcess(config)).toBeUndefined();
  },
);

test.each([
  [
    { Cmd: ['sh'], WorkingDir: 'srv' },
    { args: ['sh'], directory: '/srv' },
  ],
  [
    { Cmd: ['sh'], Env: ['A', '=x', 'B=', 'C=1=2'] },
    { args: ['sh'], environment: ['B=', 'C=1=2'] },
  ],
  [{ Env: [`A=${'x'.repeat(131_069)}`] }, { environment: [`A=${'x'.repeat(131_069)}`] }],
  [{ User: 'postgres:postgres' }, { user: 'postgres:postgres' }],
])('%# is taken', (config, says) => {
  expect(parseProcess(config)).toEqual({ ...NOTHING, ...says });
});

test.each([
  [[], 'its configuration has a config that is no object'],
  ['x', 'its configuration has a config that is no object'],
  [{ Cmd: 'sh -c x' }, 'its Cmd is no list'],
  [{ Cmd: ['sh', 7] }, 'its Cmd holds what is no text'],
  [{ Entrypoint: ['sh', 'a\0b'] }, 'its Entrypoint holds a NUL, or what is no character'],
  [{ Env: ['A=\ud800'] }, 'its Env holds a NUL, or what is no character'],
  [{ Entrypoint: [''], Cmd: ['x'] }, 'its Entrypoint begins with an empty text'],
  [{ Cmd: [''] }, 'its Cmd begins with an empty text'],
  [{ User: 7 }, 'its User holds what is no text'],
  [{ User: 'x'.repeat(256) }, 'its User holds a text of 256 bytes: at most 255'],
  [{ WorkingDir: {} }, 'its WorkingDir holds what is no text'],
  [{ Env: [`A=${'x'.repeat(1 << 20)}`] }, 'its Env holds a text of 1048578 bytes: at most 131071'],
  [
    { Env: Array.from({ length: 11 }, (_, i) => `A${i}=${'x'.repeat(100_000)}`) },
    'its Entrypoint, Cmd and Env have 1100045 bytes together: at most 1048576',
  ],
  [{ Cmd: ['sh'], Env: Array.from({ length: 32_769 }, () => 'A=') }, 'its Cmd and Env have over 32768 texts'],
])('%# is refused: %s', (config, wrong) => {
  expect(parseProcess(config)).toEqual({ wrong: typeof wrong === 'string' ? wrong : '' });
});

test.each([
  ['SIGTERM', 15],
  ['term', 15],
  ['9', 9],
  ['SIGRTMIN+3', 37],
  ['RTMAX-1', 63],
  ['SIGSYS', 31],
  ['SIGNONE', undefined],
  ['0', undefined],
  ['65', undefined],
  ['TERM+1', undefined],
  ['-9', undefined],
])('StopSignal %s is %s', (text, number) => {
  const says = parseProcess({ Cmd: ['x'], StopSignal: text });
  expect(says && 'stopSignal' in says ? says.stopSignal : undefined).toBe(number);
});
