import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { formatEndpoint, parseEndpoint } from './endpoint.ts';

test.each([
  ['localhost:9090', { kind: 'tcp', host: 'localhost', port: 9090 }],
  ['127.0.0.1:0', { kind: 'tcp', host: '127.0.0.1', port: 0 }],
  ['[::1]:0', { kind: 'tcp', host: '::1', port: 0 }],
  [':8090', { kind: 'tcp', host: '', port: 8090 }],
  ['unix:///run/flintlock/api.sock', { kind: 'unix', path: '/run/flintlock/api.sock' }],
  ['unix:/run/api.sock', { kind: 'unix', path: '/run/api.sock' }],
])('%s', (text, endpoint) => {
  expect(parseEndpoint(text)).toEqual(endpoint);
  expect(parseEndpoint(formatEndpoint(parseEndpoint(text)))).toEqual(endpoint);
});

test.each([
  ['', 'HOST:PORT'],
  ['9090', 'HOST:PORT'],
  ['localhost', 'HOST:PORT'],
  ['localhost:http', 'HOST:PORT'],
  ['localhost:65536', 'at most 65535'],
  ['::1:9090', 'HOST:PORT'],
  ['http://localhost:9090', 'no such scheme'],
  ['unix://api.sock', 'absolute path'],
  [`unix:///${'a'.repeat(120)}`, 'at most 107 bytes'],
])('%s is refused', (text, why) => {
  expect(() => parseEndpoint(text)).toThrow(why);
});

test('whatever is given: an endpoint or a Fault', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        parseEndpoint(text);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
      }
    }),
  );
});
