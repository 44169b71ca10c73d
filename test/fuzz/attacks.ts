import { type DescMethod, type DescService, type Message, toBinary, toJsonString } from '@bufbuild/protobuf';
import fc, { type Arbitrary } from 'fast-check';
import { type Attack, type Port, RAW_GRPC, RAW_HTTP } from './bytes.ts';
import { messageOf, type Words } from './messages.ts';

/** Calls that may rightly take long: their caller hangs up after a short time. */
const WAITS = /Wait|Watch|Attach|Console|Pull|Start|Stop|Reboot|Pause|Resume/;
/** They ask every tool of the host, or end what the run needs. */
const COSTLY = /\/(Audit|PullImage|PruneImages)$/;

const CONTENT_TYPES = {
  grpc: ['application/grpc', 'application/grpc+proto', 'application/grpc-web+proto'],
  grpcJson: ['application/grpc+json', 'application/grpc-web+json'],
  connect: ['application/proto', 'application/connect+proto'],
  connectJson: ['application/json', 'application/connect+json'],
  none: ['', 'text/plain', 'application/grpc+xml', 'application/json; charset=utf-16', 'multipart/form-data'],
} as const;

const contentType: Arbitrary<{ readonly type: string; readonly isJson: boolean; readonly isFramed: boolean }> = fc
  .oneof(
    { weight: 12, arbitrary: fc.constantFrom(...CONTENT_TYPES.grpc) },
    { weight: 2, arbitrary: fc.constantFrom(...CONTENT_TYPES.grpcJson) },
    { weight: 2, arbitrary: fc.constantFrom(...CONTENT_TYPES.connect) },
    { weight: 2, arbitrary: fc.constantFrom(...CONTENT_TYPES.connectJson) },
    { weight: 1, arbitrary: fc.constantFrom(...CONTENT_TYPES.none) },
  )
  .map((type) => ({ type, isJson: type.includes('json'), isFramed: /grpc|connect\+/.test(type) }));

const HEADERS: readonly Readonly<Record<string, string>>[] = [
  { 'grpc-timeout': '1n' },
  { 'grpc-timeout': '0S' },
  { 'grpc-timeout': '99999999H' },
  { 'grpc-timeout': 'soon' },
  { 'grpc-timeout': '-5m' },
  { 'grpc-encoding': 'gzip' },
  { 'grpc-encoding': 'nonsense' },
  { 'connect-timeout-ms': '-1' },
  { 'connect-protocol-version': '9' },
  { 'content-length': '5' },
  { 'x-bin': 'not base64!' },
  { authorization: `Bearer ${'x'.repeat(4_000)}` },
  { 'content-encoding': 'br' },
];

/** What is done to a body after it was right. */
const mutation: Arbitrary<(bytes: Uint8Array) => Uint8Array> = fc.oneof(
  { weight: 10, arbitrary: fc.constant((bytes: Uint8Array) => bytes) },
  { weight: 2, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }).map(cutAt) },
  {
    weight: 3,
    arbitrary: fc
      .array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(255)), { minLength: 1, maxLength: 6 })
      .map(withBytes),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 50 }).map((tail) => (bytes: Uint8Array) => joined(bytes, tail)) },
  { weight: 1, arbitrary: fc.constant((bytes: Uint8Array) => joined(bytes, bytes)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((junk) => () => junk) },
);

function cutAt(part: number) {
  return (bytes: Uint8Array): Uint8Array => bytes.subarray(0, Math.floor(bytes.length * part));
}
function withBytes(changes: readonly (readonly [part: number, byte: number])[]) {
  return (bytes: Uint8Array): Uint8Array => {
    const changed = Uint8Array.from(bytes);
    for (const [part, byte] of changes) changed[Math.floor((changed.length - 1) * part)] = byte;
    return changed;
  };
}
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);

function framed(message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return joined(head, message);
}

function encoded(method: DescMethod, message: Message, isJson: boolean): Uint8Array {
  if (!isJson) return toBinary(method.input, message);
  try {
    return Buffer.from(toJsonString(method.input, message));
  } catch {
    return Buffer.from('{}'); // a message that JSON has no form for, such as an Any of nothing
  }
}

function call(method: DescMethod, words: Words): Arbitrary<Attack> {
  const path = `/${method.parent.typeName}/${method.name}`;
  return fc
    .record({
      messages: fc.array(messageOf(method.input, words), {
        minLength: 1,
        maxLength: method.methodKind === 'unary' || method.methodKind === 'server_streaming' ? 1 : 3,
      }),
      contentType,
      mutate: mutation,
      headers: fc.oneof(
        { weight: 6, arbitrary: fc.constant({}) },
        { weight: 1, arbitrary: fc.constantFrom(...HEADERS) },
      ),
      patienceMs:
        WAITS.test(method.name) || method.methodKind !== 'unary' ? fc.integer({ min: 0, max: 60 }) : fc.constant(0),
    })
    .map(({ messages, contentType: { type, isJson, isFramed }, mutate, headers, patienceMs }) => {
      const bodies = messages.map((message) => encoded(method, message, isJson));
      const body = mutate(isFramed ? joined(...bodies.map(framed)) : joined(...bodies));
      // A call that ends by itself has none, and must.
      const patience = WAITS.test(method.name) || method.methodKind !== 'unary' ? { patienceMs } : {};
      return { kind: 'call', path, headers: { 'content-type': type, ...headers }, body, ...patience };
    });
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'];
const REAL_METHODS = ['GET', 'POST', 'POST', 'PATCH', 'DELETE'];
const PATHS = [
  ...[
    '/v1/microvms',
    '/v1/info',
    '/v1/watch',
    '/v1/images',
    '/v1/images:pull',
    '/v1/images:prune',
    '/healthz',
    '/readyz',
  ],
  ...[
    '/metrics',
    '/v1alpha1/microvm',
    '/v1alpha1/microvms',
    '/',
    '//',
    '/v1',
    '/v1/../v1/info',
    '/%2e%2e/%00',
    '/v1/%zz',
  ],
];

function httpRequest(spec: Arbitrary<string>, { known }: Words): Arbitrary<Attack> {
  const word = fc
    .oneof(
      fc.constantFrom(...known),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
      fc.constant('x'.repeat(5_000)),
    )
    .map((one) => encodeURIComponent(one));
  const path = fc.oneof(
    fc.constantFrom(...PATHS),
    word.map((w) => `/v1/microvms/${w}`),
    word.map((w) => `/v1/microvms/${w}/console`),
    fc.tuple(word, word).map(([a, b]) => `/v1/namespaces/${a}/microvms/${b}`),
    fc.tuple(word, fc.constantFrom('start', 'stop', 'reboot', 'pause', 'x')).map(([a, b]) => `/v1/microvms/${a}:${b}`),
    word.map((w) => `/v1/namespaces/${w}/microvms`),
    fc.constant('/v1/namespaces/default/microvms'),
    word.map((w) => `/v1alpha1/microvm/${w}/${w}`),
  );
  const queryNames = ['namespace', 'labelSelector', 'pageSize', 'pageToken', 'showDeleted', 'cursor', 'follow', 'a[b]'];
  const query = fc.oneof(
    { weight: 3, arbitrary: fc.constant('') },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.constantFrom(...queryNames), word).map(([name, value]) => `?${name}=${value}`),
    },
  );
  const body = fc.oneof(
    { weight: 25, arbitrary: fc.tuple(spec, mutation).map(([json, mutate]) => Buffer.from(mutate(Buffer.from(json)))) },
    { weight: 5, arbitrary: fc.json().map((json) => Buffer.from(json)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom('[', '{"a":', '{"kernel":').map((open) => Buffer.from(open.repeat(10_000))),
    },
    { weight: 5, arbitrary: fc.constant(Buffer.alloc(0)) },
  );
  const type = fc.constantFrom(
    'application/json',
    'application/json',
    'application/json; charset=utf-8',
    'text/plain',
    '',
  );
  return fc
    .record({
      method: fc.constantFrom(...METHODS, ...REAL_METHODS, ...REAL_METHODS, ...REAL_METHODS),
      path: fc.tuple(path, query).map((parts) => parts.join('')),
      body,
      type,
    })
    .map(({ method, path, body, type }) => ({
      kind: 'http',
      method,
      path,
      headers: type === '' ? {} : { 'content-type': type },
      body: ['GET', 'HEAD', 'DELETE', 'TRACE', 'OPTIONS'].includes(method) ? Buffer.alloc(0) : body,
    }));
}

const raw = (port: Port, arbitrary: Arbitrary<{ name: string; bytes: Uint8Array }>): Arbitrary<Attack> =>
  arbitrary.map(({ name, bytes }) => ({ kind: 'raw', port, name, bytes }));

/** Everything that a caller may do to a daemon that serves these. */
export function attackOn(services: readonly DescService[], words: Words): Arbitrary<Attack> {
  const methods = services.flatMap((service) => service.methods);
  const calls = methods.map((method) => ({
    // Most of what is read of a caller is a spec.
    weight: COSTLY.test(`/${method.name}`) ? 1 : /^(Create|Update)/.test(method.name) ? 80 : 20,
    arbitrary: call(method, words),
  }));
  const creates = methods.filter(({ name }) => name === 'CreateMicroVM');
  const unknown: Arbitrary<Attack> = fc
    .tuple(fc.string({ maxLength: 30 }), fc.constantFrom('application/grpc', 'application/json', 'text/html'))
    .map(([name, type]) => ({
      kind: 'call',
      path: `/${encodeURIComponent(name)}/X`,
      headers: { 'content-type': type },
      body: framed(new Uint8Array()),
    }));
  const specs = creates.map((method) =>
    messageOf(method.input, words).map((message) => {
      try {
        const { microvm } = JSON.parse(toJsonString(method.input, message)) as { microvm?: unknown };
        return JSON.stringify(microvm ?? {});
      } catch {
        return '{}';
      }
    }),
  );
  return fc.oneof(
    { weight: 60, arbitrary: fc.oneof(...calls) },
    { weight: 1, arbitrary: unknown },
    { weight: 30, arbitrary: httpRequest(fc.oneof(...specs), words) },
    { weight: 3, arbitrary: raw('grpc', RAW_GRPC) },
    { weight: 3, arbitrary: raw('http', RAW_HTTP) },
  );
}
