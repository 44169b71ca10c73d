import { expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import { explain } from './failures.ts';

const fatal = (text: string) =>
  new Fault('tool', `skopeo failed (exit status 1): time="2026-11-25T00:02:42Z" level=fatal msg="${text}"`);
const from = (text: string) => explain(fatal(text), 'host/x:v1');

// The texts are those of skopeo 1.9.3 against docker-registry 2.8.2.
test.each([
  ['reading manifest v9 in 127.0.0.1:5055/lab/x: manifest unknown: manifest unknown', 'not_found', 'ImageNotFound'],
  [
    'pinging container registry no.example: Get \\"https://no.example/v2/\\": dial tcp: lookup no.example: no such host',
    'tool',
    'ImagePullFailed',
  ],
  [
    'pinging container registry 127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused',
    'tool',
    'ImagePullFailed',
  ],
  ['reading manifest v1 in x: unauthorized: authentication required', 'tool', 'ImagePullFailed'],
  ['http: server gave HTTP response to HTTPS client', 'tool', 'ImagePullFailed'],
  ['x509: certificate signed by unknown authority', 'tool', 'ImagePullFailed'],
  ['Digest did not match, expected sha256:aa, got sha256:bb', 'tool', 'ImagePullFailed'],
  ['writing blob: unexpected EOF', 'tool', 'ImagePullFailed'],
  ['something new', 'tool', 'ImagePullFailed'],
  ['no image found in image index for architecture amd64', 'invalid', 'ImageInvalid'],
  ['reading manifest: exceeded maximum allowed size of 4194304 bytes', 'invalid', 'ImageInvalid'],
  [
    'Internal error writing blob sha512:aa, blob with digest sha512:aa saved with digest sha256:bb',
    'invalid',
    'ImageInvalid',
  ],
  ['Download config.json digest sha256:aa does not match expected sha512:bb', 'invalid', 'ImageInvalid'],
  ['Manifest does not match provided manifest digest sha512:aa', 'invalid', 'ImageInvalid'],
  ['Digest did not match, expected sha512:aa, got sha512:bb', 'tool', 'ImagePullFailed'],
  ['writing blob: write /x: no space left on device', 'full', 'StorageFull'],
])('a registry: %s', (text, kind, reason) => {
  const fault = from(text);
  expect(fault).toMatchObject({ kind, reason, terminal: kind === 'not_found' || kind === 'invalid' });
  expect((fault as Fault).message).toContain('host/x:v1');
  expect((fault as Fault).message).toContain(text.replaceAll('\\"', '"'));
});

test.each([
  [
    'pinging container registry certificates.example: Get \\"https://certificates.example/v2/\\": dial tcp: lookup certificates.example on 192.0.2.1:53: no such host',
    'does not resolve',
  ],
  ['reading manifest v1 in certificates.example/unauthorized/timeout: manifest unknown', 'no such tag'],
  [
    'copying system image from manifest list: copying image: reading blob: Get \\"https://certificates.example/v2/unauthorized/timeout/blobs/sha256:aa\\": dial tcp 192.0.2.7:443: connect: connection refused',
    'nothing listens',
  ],
  [
    'reading manifest v1 in certificates.example/unauthorized/timeout: toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.example.com/increase-rate-limit',
    'less often',
  ],
])('what an image is called is no reason: %s', (text, why) => {
  expect(explain(fatal(text), 'certificates.example/unauthorized/timeout:v1')).toMatchObject({
    message: expect.stringContaining(why),
  });
});

// Answers that registries give, and what skopeo 1.9.3 makes of them.
test.each([
  [
    'Error parsing image name \\"docker://host/x:v1\\": reading manifest v1 in host/x: unknown: artifact x:v1 not found',
    'not_found',
    'no such tag',
  ],
  ['reading manifest v1 in host/x: unknown: resource not found: repo x, tag v1 not found', 'not_found', 'no such tag'],
  [
    'reading manifest v1 in host/x: unknown: current image with 5 vulnerabilities cannot be pulled due to configured policy',
    'tool',
    'does not give it out',
  ],
  ['reading manifest v1 in host/x: unknown: Unavailable for legal reasons', 'tool', 'does not give it out'],
  [
    'reading blob sha256:aa: Error fetching blob: invalid status code from registry 403 (Forbidden)',
    'tool',
    'the clock of this host',
  ],
  [
    'reading blob sha256:aa: Error fetching blob: invalid status code from registry 404 (Not Found)',
    'not_found',
    'lacks a part',
  ],
  [
    `Error parsing image name \\"docker://host/x:v1\\": invalid character '<' looking for beginning of value`,
    'tool',
    'a web page came',
  ],
  ['initializing image from source docker://host/x@sha256:aa: unsupported schema version 2', 'tool', 'Content-Type'],
  ['Requesting bearer token: invalid status code from registry 403 (Forbidden)', 'tool', 'other credentials'],
  [
    'Requesting bearer token: invalid status code from registry 503 (Service Unavailable)',
    'tool',
    'a fault of its own',
  ],
])('as others answer: %s', (text, kind, why) => {
  expect(from(text)).toMatchObject({ kind, message: expect.stringContaining(why) });
});

test('a tool that is killed, late or not there', () => {
  const of = (error: Fault) => explain(error, 'x');
  expect(of(new Fault('full', 'skopeo failed'))).toMatchObject({ kind: 'full', reason: 'StorageFull' });
  const figures = 'the file system of /i has no inodes left';
  const said = `skopeo failed (exit status 1): level=fatal msg="write: no space left on device" (${figures})`;
  expect(of(new Fault('full', said))).toMatchObject({ message: expect.stringContaining(`on the disk: ${figures}`) });
  expect(of(new Fault('tool', 'skopeo failed (ended by SIGKILL): '))).toMatchObject({ terminal: false, soon: true });
  expect(of(new Fault('tool', 'Cannot run skopeo: it is not installed or not in PATH'))).toMatchObject({
    reason: 'ImagePullFailed',
    terminal: false,
  });
  expect(of(new Fault('timeout', 'skopeo did not end in 5 ms'))).toMatchObject({
    kind: 'timeout',
    reason: 'ImagePullFailed',
    terminal: false,
  });
});

test('an abort, a bug and a Fault with its reason pass through', () => {
  const told = new Fault('full', 'Cannot x', { reason: 'StorageFull' });
  for (const error of [new Error('abort'), told, 'text']) expect(explain(error, 'x')).toBe(error);
});

test('a page of text becomes a line', () => {
  const { message } = from(`a\nb\u001b[31m\\x0ac\\n ${'x'.repeat(5_000)}`) as Fault;
  expect(message).not.toMatch(/\p{Cc}|\\x0a|\\n/u);
  expect(message.length).toBeLessThan(600);
});

// Whether the digest last seen may stand in, and whether a second try within seconds may help.
test.each([
  ['proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused', true, true],
  ['dial tcp: lookup no.example: no such host', true, true],
  ['connect: connection refused', true, true],
  ['connect: no route to host', true, true],
  ['net/http: TLS handshake timeout', true, true],
  ['read: connection reset by peer', true, true],
  ['Get \\"https://x/v2/\\": EOF', true, true],
  ['received unexpected HTTP status: 503 Service Unavailable', true, true],
  ['toomanyrequests: You have reached your pull rate limit', true, false],
  ['unauthorized: authentication required', false, false],
  ['getting username and password: reading JSON file \\"/auth.json\\"', false, false],
  ['x509: certificate signed by unknown authority', false, false],
  ['server gave HTTP response to HTTPS client', false, false],
  ['writing blob: unexpected EOF', false, true],
  ['Digest did not match, expected sha256:aa', false, true],
])('%s: unreachable %s, soon %s', (text, unreachable, soon) => {
  expect(from(text)).toMatchObject({ reason: 'ImagePullFailed', terminal: false, unreachable, soon });
});
