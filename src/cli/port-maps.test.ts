import { expect, test } from 'vitest';
import { parseFarPort, parsePortMap } from './port-maps.ts';

const PORT_80 = { port: 80, path: '' };

test.each([
  ['80', { address: '127.0.0.1', port: 80, far: PORT_80 }],
  ['8080:80', { address: '127.0.0.1', port: 8080, far: PORT_80 }],
  ['0:80', { address: '127.0.0.1', port: 0, far: PORT_80 }],
  ['127.0.0.2:80', { address: '127.0.0.2', port: 80, far: PORT_80 }],
  ['0.0.0.0:8080:80', { address: '0.0.0.0', port: 8080, far: PORT_80 }],
  ['localhost:80', { address: 'localhost', port: 80, far: PORT_80 }],
  ['[::1]:8080:80', { address: '::1', port: 8080, far: PORT_80 }],
  ['2375:/run/docker.sock', { address: '127.0.0.1', port: 2375, far: { port: 0, path: '/run/docker.sock' } }],
])('%s', (text, wanted) => expect(parsePortMap(text)).toEqual(wanted));

test.each([
  '',
  '0',
  ':80',
  '80:',
  '80:0',
  '65536',
  '80:65536',
  '65536:80',
  'web:80',
  '1:2:3',
  '/run/x',
  '80:run/x',
  '-1',
])('"%s" is refused', (text) => expect(() => parsePortMap(text)).toThrow('says no ports'));

test('a port in the guest alone', () => {
  expect(parseFarPort('22')).toEqual({ port: 22, path: '' });
  expect(parseFarPort('/run/x')).toEqual({ port: 0, path: '/run/x' });
  for (const wrong of ['0', '', '8080:80', 'ssh', '70000']) expect(() => parseFarPort(wrong)).toThrow('is no port');
});
