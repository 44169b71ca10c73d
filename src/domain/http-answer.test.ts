import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HttpAnswer, httpRequest } from './http-answer.ts';

const status = (code: number, words = '') => ({ is: 'status', code, words });

/** As it comes in pieces of so many bytes. */
function read(text: string, size = text.length) {
  const answer = new HttpAnswer();
  for (let at = 0; at < text.length; at += Math.max(size, 1)) {
    const found = answer.push(Buffer.from(text.slice(at, at + size), 'latin1'));
    if (found) return found;
  }
  return undefined;
}

test('a request names the server as who asks reaches it, unless it is told otherwise', () => {
  expect(httpRequest({ port: 8080, path: '/up?full=1', headers: {} })).toBe(
    'GET /up?full=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: flintlock-health-check\r\nAccept: */*\r\nConnection: close\r\n\r\n',
  );
  const own = httpRequest({ port: 80, path: '/', headers: { host: 'shop.example', 'X-Key': 'k' } });
  expect(own).toContain('\r\nhost: shop.example\r\nX-Key: k\r\n');
  expect(own).not.toContain('localhost');
});

test.each([
  ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', status(200, 'OK')],
  ['HTTP/1.0 503 Service Unavailable\r\n', status(503, 'Service Unavailable')],
  ['HTTP/1.1 204\r\n\r\n', status(204)],
  ['HTTP/1.1 200 \nServer: of bare line ends\n\n', status(200)],
  [
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\n',
    status(302, 'Found'),
  ],
  ['HTTP/1.1 101 Switching Protocols\r\n\r\n', status(101, 'Switching Protocols')],
  ['HTTP/1.1 500 \x1b[31mred\x00\r\n', status(500, '[31mred')],
  ['SSH-2.0-OpenSSH_9.2p1\r\n', { is: 'no http', said: 'SSH-2.0-OpenSSH_9.2p1' }],
  ['HTTP/1.1 2000 OK\r\n', { is: 'no http', said: 'HTTP/1.1 2000 OK' }],
  ['HTTP/2 200\r\n', { is: 'no http', said: 'HTTP/2 200' }],
  ['HTTP/1.1 200 OK', undefined],
])('%j', (text, expected) => {
  expect(read(text)).toEqual(expected);
  expect(read(text, 1)).toEqual(expected);
});

test('a head without an end is not waited for, nor one of "go on" for ever', () => {
  expect(read('x'.repeat(1 << 20), 4_096)).toMatchObject({ is: 'no http' });
  expect(read(`HTTP/1.1 100 Continue\r\n${'a: b\r\n'.repeat(1 << 16)}`, 4_096)).toMatchObject({ is: 'no http' });
  expect(read('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1 << 16), 4_096)).toMatchObject({ is: 'no http' });
});

test('whatever a guest answers, there is an end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isHttp) => {
      const answer = new HttpAnswer();
      if (isHttp) answer.push(Buffer.from('HTTP/1.1 '));
      const found = answer.push(bytes) ?? answer.noHttp();
      if (found.is === 'status') expect(found.code).toBeGreaterThanOrEqual(100);
    }),
  );
});
