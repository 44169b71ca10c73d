import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { type FakeEntry, fakeFiles } from '../../test/support/fake-files.ts';
import type { RegistryAnswer, RegistryRequest } from '../ports/registries.ts';
import { parseReference } from './reference.ts';
import { TagLooks, type TagLooksOptions } from './tag-look.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const FOUND: RegistryAnswer = { status: 200, headers: { 'docker-content-digest': DIGEST }, body: '' };
const BEARER = 'Bearer realm="https://auth.test/token?a=b",service="registry.test",scope="repository:lab/x:pull"';
const wants = (challenge: string): RegistryAnswer => ({
  ...{ status: 401, headers: { 'www-authenticate': challenge }, body: '' },
});
const token = (json: object): RegistryAnswer => ({ status: 200, headers: {}, body: JSON.stringify(json) });
const live = new AbortController().signal;

/** @param answers - in their order; an Error is thrown */
function setUp(answers: readonly (RegistryAnswer | Error)[], more: Partial<TagLooksOptions> = {}) {
  const left = [...answers];
  const asked: RegistryRequest[] = [];
  const clock = new FakeClock();
  const looks = new TagLooks({
    ...{ files: fakeFiles({}), clock, insecureRegistries: [], environment: {} },
    ask: async (request) => {
      asked.push(request);
      const answer = left.shift() ?? new Error('nobody answers any more');
      if (answer instanceof Error) throw answer;
      return answer;
    },
    ...more,
  });
  const referenceOf = (name: string) => {
    const reference = parseReference(name);
    if (!('from' in reference) || reference.from !== 'registry') throw new Error(name);
    return reference;
  };
  const whyLate = () => looks.whyLate(referenceOf('registry.test/lab/x:v1'), live);
  const digestOf = (name = 'registry.test/lab/x:v1', signal = live) => looks.digestOf(referenceOf(name), signal);
  /** As method, URL, and who we said we were. */
  const lines = () =>
    asked
      .splice(0)
      .map(({ method, url, headers }) =>
        [method, url.href, ...(headers.authorization === undefined ? [] : [headers.authorization])].join(' '),
      );
  return { digestOf, whyLate, lines, asked, clock };
}
const HEAD = 'HEAD https://registry.test/v2/lab/x/manifests/v1';
const logins = (json: object): Partial<TagLooksOptions> => ({
  ...{ authFile: '/auth.json', files: fakeFiles({ '/auth.json': JSON.stringify(json) }) },
});

describe('a tag', () => {
  test('is asked for in one request, which gets no body', async () => {
    const { digestOf, lines, asked } = setUp([FOUND]);
    expect(await digestOf()).toBe(DIGEST);
    expect(asked[0]?.headers.accept).toContain('application/vnd.oci.image.index.v1+json');
    expect(asked[0]).toMatchObject({ anyCertificate: false, timeoutMs: expect.any(Number) });
    expect(lines()).toEqual([HEAD]);
  });

  test("of the Docker Hub is asked for at its interface's name", async () => {
    const { digestOf, lines } = setUp([FOUND]);
    expect(await digestOf('debian:12')).toBe(DIGEST);
    expect(lines()).toEqual(['HEAD https://registry-1.docker.io/v2/library/debian/manifests/12']);
  });

  test.each([
    ['404', { ...FOUND, status: 404 }],
    ['500', { ...FOUND, status: 500 }],
    ['a redirect', { ...FOUND, status: 307 }],
    ['no digest', { ...FOUND, headers: {} }],
    ['a digest that is none', { ...FOUND, headers: { 'docker-content-digest': 'sha512:aa' } }],
    ['a login that is neither', wants('Negotiate')],
    ['a login without a realm', wants('Bearer service="x"')],
    ['a login in plain text', wants('Bearer realm="http://auth.test/token"')],
    ['nothing', new Error('ECONNREFUSED')],
  ])('is not known after %s', async (_, answer) => {
    const { digestOf, asked } = setUp([answer]);
    expect(await digestOf()).toBeUndefined();
    expect(asked).toHaveLength(1);
  });

  const tooMany = (after?: string): RegistryAnswer => ({
    ...{ status: 429, headers: after === undefined ? {} : { 'retry-after': after }, body: '' },
  });
  test.each([
    ['3600', ', again in 3600 s'],
    [undefined, '429 Too Many Requests)'],
    ['Wed, 02 Dec 2026 07:28:00 GMT', '429 Too Many Requests)'],
  ])('of a registry that has no answer for long (%s) fails at once', async (after, text) => {
    const late = { reason: 'ImagePullFailed', unreachable: true, message: expect.stringContaining(text) };
    await expect(setUp([tooMany(after)]).digestOf()).rejects.toMatchObject(late);
    expect(await setUp([tooMany(after)]).whyLate()).toMatchObject(late);
  });

  test('of a registry that has none for a moment is left to skopeo, which waits', async () => {
    expect(await setUp([tooMany('2')]).digestOf()).toBeUndefined();
    expect(await setUp([tooMany('2')]).whyLate()).toMatchObject({ message: expect.stringContaining('again in 2 s') });
    expect(await setUp([FOUND]).whyLate()).toBeUndefined();
  });

  test('whose asker has gone ends with its reason', async () => {
    const gone = new AbortController();
    gone.abort(new Error('gone'));
    await expect(setUp([new Error('aborted')]).digestOf(undefined, gone.signal)).rejects.toThrow('gone');
  });
});

describe('a registry that asks who we are', () => {
  test('gets a token, which is kept as long as it is good', async () => {
    const good = token({ token: 't1', expires_in: 300 });
    const { digestOf, lines, clock } = setUp([wants(BEARER), good, FOUND, FOUND, wants(BEARER), good, FOUND]);
    const asking = 'GET https://auth.test/token?a=b&service=registry.test&scope=repository%3Alab%2Fx%3Apull';
    expect(await digestOf()).toBe(DIGEST);
    expect(lines()).toEqual([HEAD, asking, `${HEAD} Bearer t1`]);
    expect(await digestOf()).toBe(DIGEST);
    expect(lines()).toEqual([`${HEAD} Bearer t1`]);
    clock.advance(295_000);
    expect(await digestOf()).toBe(DIGEST);
    expect(lines()).toEqual([HEAD, asking, `${HEAD} Bearer t1`]);
  });

  test('and no longer takes it gets another', async () => {
    const { digestOf, lines } = setUp([
      ...[wants(BEARER), token({ access_token: 't1' }), FOUND],
      ...[wants(BEARER), token({ access_token: 't2' }), FOUND],
    ]);
    await digestOf();
    lines();
    expect(await digestOf()).toBe(DIGEST);
    expect(lines()).toEqual([`${HEAD} Bearer t1`, expect.stringContaining('GET '), `${HEAD} Bearer t2`]);
  });

  test('gets the credentials of the file, for a token or as they are, and another name none of them', async () => {
    const login = logins({ auths: { 'registry.test/lab': { auth: 'dTpw' }, 'registry.test': { auth: 'b3RoZXI=' } } });
    const bearer = setUp([wants(BEARER), token({ token: 't1' }), FOUND], login);
    expect(await bearer.digestOf()).toBe(DIGEST);
    expect(bearer.lines()[1]).toMatch(/^GET .* Basic dTpw$/);
    const basic = setUp([wants('Basic realm="lab"'), FOUND, FOUND], login);
    expect(await basic.digestOf()).toBe(DIGEST);
    expect(await basic.digestOf()).toBe(DIGEST);
    expect(basic.lines()).toEqual([HEAD, `${HEAD} Basic dTpw`, `${HEAD} Basic dTpw`]);
    const other = setUp([wants('Basic realm="lab"')], login);
    expect(await other.digestOf('elsewhere.test/lab/x:v1')).toBeUndefined();
    expect(other.lines()).toEqual(['HEAD https://elsewhere.test/v2/lab/x/manifests/v1']);
  });

  test.each([
    ['a refusal', { status: 401, headers: {}, body: '' }],
    ['a page', { status: 200, headers: {}, body: '<html>' }],
    ['no token', token({})],
    ['a token that is no header', token({ token: 'a\r\nb: c' })],
  ])('and gives %s is left to skopeo', async (_, answer) => {
    const { digestOf, asked } = setUp([wants(BEARER), answer]);
    expect(await digestOf()).toBeUndefined();
    expect(asked).toHaveLength(2);
  });
});

test('an insecure registry is asked with any certificate, or in plain text, and that is remembered', async () => {
  const name = 'lab.test:5000/x:v1';
  const { digestOf, lines, asked } = setUp(
    [new Error('wrong version number'), FOUND, FOUND, new Error('reset'), FOUND],
    {
      insecureRegistries: ['lab.test:5000'],
    },
  );
  expect(await digestOf(name)).toBe(DIGEST);
  expect(asked.every(({ anyCertificate }) => anyCertificate)).toBe(true);
  const [tls, plain] = ['https', 'http'].map((scheme) => `HEAD ${scheme}://lab.test:5000/v2/x/manifests/v1`);
  expect(lines()).toEqual([tls, plain]);
  expect(await digestOf(name)).toBe(DIGEST);
  expect(lines()).toEqual([plain]);
  // It has got a certificate meanwhile.
  expect(await digestOf(name)).toBe(DIGEST);
  expect(lines()).toEqual([plain, tls]);
});

describe('skopeo is left to ask, and nobody else does,', () => {
  const silent = async (more: Partial<TagLooksOptions>): Promise<void> => {
    const { digestOf, asked } = setUp([FOUND], more);
    expect(await digestOf()).toBeUndefined();
    expect(asked).toEqual([]);
  };
  const files = (entries: Readonly<Record<string, FakeEntry>>) => ({ files: fakeFiles(entries) });

  test.each(['HTTP_PROXY', 'HTTPS_PROXY', 'SSL_CERT_FILE', 'SSL_CERT_DIR'])('with %s', (name) =>
    silent({ environment: { [name]: 'x' } }),
  );

  test.each([
    ['a mirror', '/etc/containers/registries.conf', '# ours\n[[registry]]\nprefix = "registry.test"\n'],
    ['a rule in a file of its own', '/etc/containers/registries.conf.d/50-lab.conf', ' [[registry]]\nblocked = true\n'],
    ['the form of before', '/etc/containers/registries.conf', '[registries.block]\nregistries = ["x"]\n'],
    ['programs for credentials', '/usr/share/containers/registries.conf', 'credential-helpers = ["secretservice"]\n'],
  ])('where the host has %s', (_, path, text) => silent(files({ [path]: text })));

  test('where it has certificates for that registry', () =>
    silent(files({ '/etc/containers/certs.d/registry.test/ca.crt': 'x' })));

  test.each([
    ['come from a program', { credsStore: 'pass', auths: {} }],
    ['come from programs', { credHelpers: { 'registry.test': 'pass' } }],
    ['are a token of its own kind', { auths: { 'registry.test': { identitytoken: 'x', auth: 'dTpw' } } }],
    ['are not there', { auths: { 'registry.test': {} } }],
    ['have a name as Docker gives it', { auths: { 'https://registry.test/v1/': { auth: 'dTpw' } } }],
  ])('where credentials %s', (_, json) => silent(logins(json)));

  test('where the file of credentials cannot be read', () =>
    silent({ authFile: '/auth.json', ...files({ '/auth.json': '{' }) }));
});

test('what Debian has for short names is no rule', async () => {
  const entries = {
    '/etc/containers/registries.conf': '# [[registry]]\nunqualified-search-registries = ["docker.io"]\n',
    '/etc/containers/registries.conf.d/shortnames.conf': '[aliases]\n  "registry" = "docker.io/library/registry"\n',
    '/etc/containers/certs.d/other.test/ca.crt': 'x',
  };
  const { digestOf } = setUp([FOUND], { files: fakeFiles(entries) });
  expect(await digestOf()).toBe(DIGEST);
});
