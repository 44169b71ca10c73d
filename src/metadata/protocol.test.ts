import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { type Asked, answer } from './protocol.ts';
import { seedOf } from './seed.ts';
import { createTokens } from './tokens.ts';

const clock = new FakeClock();
const tokens = createTokens(Buffer.alloc(32, 7), clock);
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const seed = seedOf({
  uid: 'A',
  metadata: {
    'meta-data': base64('instance-id: i-1\ntags:\n  a: b\nlist: [x]\nodd:\n  "a/b~c": deep\n'),
    'user-data': base64('#cloud-config\n'),
    bin: Buffer.from([255]).toString('base64'),
  },
  volumes: [],
  nics: [],
});
function ask(url: string, headers: Asked['headers'] = {}, method = 'GET', uid = 'A') {
  const { status, headers: sent, body } = answer({ method, url, headers }, uid, () => seed, tokens);
  return { status, body: Buffer.from(body).toString(), type: sent['content-type'], allow: sent.allow };
}
const json = { accept: 'application/json' };

describe('version 1', () => {
  test.each([
    ['/', 'latest/'],
    ['/latest', 'bin\nmeta-data/\nnetwork-config\nuser-data\nvendor-data'],
    ['/latest/', 'bin\nmeta-data/\nnetwork-config\nuser-data\nvendor-data'],
    ['/latest/meta-data/', 'instance-id\ninstance_id\nlist\nodd/\ntags/'],
    ['/latest/meta-data/instance-id', 'i-1'],
    ['/latest/meta-data/instance-id/', 'i-1'],
    ['//latest///meta-data//tags//a', 'b'],
    ['/latest/meta-data/tags', 'a'],
    ['/latest/meta-data/list/0', 'x'],
    ['/latest/meta-data/odd/a~1b~0c', 'deep'],
    ['/latest/user-data', '#cloud-config\n'],
    ['/latest/user-data/', '#cloud-config\n'],
    ['/latest/user-data?x=y', '#cloud-config\n'],
    ['/latest/network-config', 'version: 2\nethernets: {}\n'],
    ['http://169.254.169.254/latest/meta-data/instance-id', 'i-1'],
    ['/latest/meta%2ddata/instance-id', 'i-1'],
  ])('%s', (url, body) => {
    expect(ask(url)).toMatchObject({ status: 200, body, type: 'text/plain' });
  });

  test('vendor-data is ours where nobody gave one', () => {
    const body = expect.stringMatching(/^Content-Type: multipart\/mixed; .*filename="flintlock-configured"/s);
    expect(ask('/latest/vendor-data')).toMatchObject({ status: 200, body, type: 'text/plain' });
  });

  test('the document that NoCloud reads has no slash behind its name', () => {
    expect(ask('/latest/meta-data').body).toMatch(/^instance-id: i-1\ntags:\n {2}a: b\n/);
  });

  test.each([
    ['/latest/meta-data/instance-id', '"i-1"'],
    ['/latest/meta-data/tags', '{"a":"b"}'],
    ['/latest/meta-data/list', '["x"]'],
    ['/latest/user-data', '"#cloud-config\\n"'],
    [
      '/latest/meta-data',
      '{"instance-id":"i-1","instance_id":"i-1","list":["x"],"odd":{"a/b~c":"deep"},"tags":{"a":"b"}}',
    ],
  ])('as JSON: %s', (url, body) => {
    expect(ask(url, json)).toMatchObject({ status: 200, body, type: 'application/json' });
  });

  test('what has no such form is said to have none', () => {
    const body = 'Cannot retrieve value. The value has an unsupported type.';
    expect(ask('/latest/meta-data/list')).toMatchObject({ status: 501, body });
    expect(ask('/latest/bin', json)).toMatchObject({ status: 501, body });
    expect(ask('/latest/bin')).toMatchObject({ status: 200 });
  });

  test.each([
    '/nothing',
    '/latest/meta-data/tags/a/b',
    '/latest/meta-data/list/1',
    '/latest/meta-data/list/-1',
    '/%zz',
    '/latest/../latest',
  ])('not found: %s', (url) => {
    expect(ask(url)).toMatchObject({ status: 404, body: `Resource not found: ${url}.` });
  });

  test.each(['HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS'])('%s is not allowed', (method) => {
    const body = 'Not allowed HTTP method.';
    expect(ask('/latest', {}, method)).toMatchObject({ status: 405, body, allow: 'GET, PUT' });
  });

  test.each(['', '*', 'latest', 'ftp://x/latest'])('no path: %j', (url) => {
    expect(ask(url)).toMatchObject({ status: 400, body: 'Invalid URI.' });
  });
});

describe('version 2', () => {
  const put = (headers: Asked['headers'], url = '/latest/api/token') => ask(url, headers, 'PUT');
  const ttl = (value: string) => ({ 'x-metadata-token-ttl-seconds': value });

  test('a token is good for so long, for that guest', () => {
    const { status, body: token } = put(ttl('60'));
    expect(status).toBe(200);
    const headers = { 'x-metadata-token': token };
    expect(ask('/latest/meta-data/instance-id', headers)).toMatchObject({ status: 200, body: 'i-1' });
    const aws = { 'x-aws-ec2-metadata-token': token };
    expect(ask('/latest/meta-data/instance-id', aws)).toMatchObject({ status: 200 });
    expect(ask('/latest', headers, 'GET', 'B')).toMatchObject({ status: 401, body: 'MMDS token not valid.' });
    clock.set(clock.now() + 60_000);
    expect(ask('/latest', headers)).toMatchObject({ status: 401, body: 'MMDS token not valid.' });
  });

  test('is asked for by either name, and on a path with slashes', () => {
    expect(put({ 'x-aws-ec2-metadata-token-ttl-seconds': '21600' }, '//latest/api//token').status).toBe(200);
  });

  test.each(['', 'x', 'a.b.c', '9999999999999.a.b', `${'9'.repeat(500)}.a.b`, '1.2.3.4'])(
    'no token: %.20j',
    (token) => {
      expect(ask('/latest', { 'x-metadata-token': token })).toMatchObject({ status: 401 });
    },
  );

  test.each([
    [{}, 400, /^Token time to live value not found\. Use `X-metadata-token-ttl-seconds`/],
    [ttl('0'), 400, /between 1 and 21600/],
    [ttl('21601'), 400, /between 1 and 21600/],
    [ttl('-1'), 400, /Invalid value/],
    [ttl('soon'), 400, /Invalid value/],
    [ttl(''), 400, /Invalid value/],
    [{ ...ttl('60'), 'x-forwarded-for': '10.0.0.1' }, 400, /Key: X-Forwarded-For/],
  ])('is refused: %j', (headers, status, body) => {
    expect(put(headers)).toMatchObject({ status, body: expect.stringMatching(body) });
  });

  test('nothing else can be put', () => {
    expect(put(ttl('60'), '/latest/user-data')).toMatchObject({ status: 404 });
    expect(put(ttl('60'), '/latest/api/token/')).toMatchObject({ status: 404 });
  });

  test('another host’s key takes none of ours', () => {
    const other = createTokens(Buffer.alloc(32, 8), clock);
    expect(tokens.isGood('A', other.make('A', 60))).toBe(false);
  });
});
