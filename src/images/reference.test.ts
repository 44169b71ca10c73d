import { expect, test } from 'vitest';
import { nameOf, parseReference } from './reference.ts';

const HEX = 'a'.repeat(64);
const name = (text: string): string => {
  const parsed = parseReference(text);
  return 'wrong' in parsed ? `wrong: ${parsed.wrong}` : nameOf(parsed);
};

test.each([
  ['alpine', 'docker.io/library/alpine:latest'],
  ['alpine:3.20', 'docker.io/library/alpine:3.20'],
  ['user/app', 'docker.io/user/app:latest'],
  ['docker.io/alpine', 'docker.io/library/alpine:latest'],
  ['index.docker.io/alpine', 'docker.io/library/alpine:latest'],
  ['localhost/app:v1', 'localhost/app:v1'],
  ['localhost:5000/a/b_c/d--e:v1', 'localhost:5000/a/b_c/d--e:v1'],
  ['127.0.0.1:5055/lab/x:v1', '127.0.0.1:5055/lab/x:v1'],
  ['[::1]:5000/x', '[::1]:5000/x:latest'],
  ['ghcr.io/org/kernel:6.1', 'ghcr.io/org/kernel:6.1'],
  [`ghcr.io/org/kernel@sha256:${HEX}`, `ghcr.io/org/kernel@sha256:${HEX}`],
  [`ghcr.io/org/kernel:6.1@sha256:${HEX}`, `ghcr.io/org/kernel@sha256:${HEX}`],
  ['oci:/srv/images/demo:v1', 'oci:/srv/images/demo:v1'],
  ['oci-archive:/srv/demo.tar:6.1-a_b+c@d', 'oci-archive:/srv/demo.tar:6.1-a_b+c@d'],
  ['docker-archive:/srv/demo.tar:v1', 'docker-archive:/srv/demo.tar:v1'],
  ['oci:/srv/demo', 'oci:/srv/demo'],
  ['oci:/srv/demo:localhost/foo:v1', 'oci:/srv/demo:localhost/foo:v1'],
  ['oci:/srv:x/demo:v1', 'oci:/srv:x/demo:v1'],
  [`oci:/srv/demo@sha256:${HEX}`, `oci:/srv/demo@sha256:${HEX}`],
  [`oci:/srv/demo:sha256:${HEX}`, `oci:/srv/demo@sha256:${HEX}`],
  [`oci:/srv/demo:v1@sha256:${HEX}`, `oci:/srv/demo@sha256:${HEX}`],
  [`ghcr.io/org/kernel:6.1@sha512:${HEX}${HEX}`, `ghcr.io/org/kernel@sha512:${HEX}${HEX}`],
  [`oci:/srv/demo:v1@sha512:${HEX}${HEX}`, `oci:/srv/demo@sha512:${HEX}${HEX}`],
  [`oci:/srv/de@mo:v1`, `oci:/srv/de@mo:v1`],
])('%s is %s', (text, full) => expect(name(text)).toBe(full));

test.each([
  '',
  ' ',
  '-alpine',
  '--help',
  'alpine --tls-verify=false',
  'alpine\n',
  'Alpine',
  'alpine:',
  'alpine:.x',
  'alpine:v1:v2',
  '/etc/passwd',
  'a//b',
  '../b',
  'a/../b',
  'docker://alpine',
  'docker-daemon:alpine:latest',
  'dir:/etc',
  'containers-storage:[overlay@/x]y',
  'host:port/x',
  'exa mple.com/x',
  '-h.example.com/x',
  'alpine@sha256:abc',
  `alpine@sha512:${HEX}`,
  `alpine@sha384:${HEX}${HEX.slice(32)}`,
  `alpine@sha512:${HEX}${HEX.toUpperCase()}`,
  `alpine@sha256:${HEX.toUpperCase()}`,
  `a${'/a'.repeat(200)}`,
  'oci:',
  'oci:srv/demo:v1',
  'oci:../demo:v1',
  'oci:/srv/../etc:v1',
  'oci:/srv/./x:v1',
  'oci:/srv//x:v1',
  'oci:/srv/x/:v1',
  'oci:/srv/demo:',
  'oci:/srv/demo:--x',
  'oci:/srv/demo:v1 v2',
  'oci:/srv/de\u0000mo:v1',
  'oci:/srv/de\nmo:v1',
  'oci-archive:x.tar:v1',
])('%j is refused in one line', (text) => {
  expect(name(text)).toMatch(/^wrong: image ".*" .+/);
  expect(name(text)).not.toMatch(/\p{Cc}/u);
});

test('a hostile reference takes no time', () => {
  const started = performance.now();
  for (const text of [`${'a-'.repeat(50_000)}!`, `oci:/x:${'a-'.repeat(50_000)}!`, `${'a.'.repeat(50_000)}/x`])
    expect(name(text)).toContain('wrong');
  expect(performance.now() - started).toBeLessThan(1_000);
});

test.each([
  ['dir:/srv/copied', 'skopeo copy dir:… oci:/DIR:TAG'],
  ['docker-daemon:alpine:latest', 'skopeo copy docker-daemon:… oci:/DIR:TAG'],
  ['containers-storage:localhost/app:v1', 'skopeo copy containers-storage:… oci:/DIR:TAG'],
])('%s is told how it can be had', (text, way) => expect(name(text)).toContain(way));

test.each([
  ['dir:v1', 'docker.io/library/dir:v1'],
  [`sif:v1@sha256:${HEX}`, `docker.io/library/sif@sha256:${HEX}`],
  ['ostree:5000/app:v1', 'ostree:5000/app:v1'],
])('%s is an image of a registry all the same', (text, full) => expect(name(text)).toBe(full));

test.each(['user:pa55@host:5000/x:v1', 'docker://user:pa55@host/x', 'user:pa/5@5@host/x@sha256:0'])(
  'credentials in a name are refused, and not shown: %s',
  (text) => {
    expect(name(text)).toMatch(/^wrong: image "(docker:\/\/)?\*\*\*@host.*--registry-auth-file/);
    expect(name(text)).not.toMatch(/pa55|pa\/5/);
  },
);

test('a digest with a slip is shown as it was written', () => {
  expect(name('host/x@sha256:00')).toContain('"host/x@sha256:00" has a digest that is neither');
});
