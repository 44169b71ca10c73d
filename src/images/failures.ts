import { Fault } from '../domain/fault.ts';

/** Where the bytes came from: a registry may do better next time, a file will not. */
export type Origin = 'registry' | 'local';

type Make = (text: string, name: string) => Fault;
const pullFailed =
  (why: string): Make =>
  (text, name) =>
    new Fault('tool', `Cannot pull image "${name}": ${why} (${text})`, { reason: 'ImagePullFailed' });
const notFound =
  (why: string): Make =>
  (text, name) =>
    new Fault('not_found', `Cannot find image "${name}": ${why} (${text})`, { reason: 'ImageNotFound' });
const invalid =
  (why: string): Make =>
  (text, name) =>
    new Fault('invalid', `Cannot use image "${name}": ${why} (${text})`, { reason: 'ImageInvalid' });
const full: Make = (text, name) =>
  new Fault('full', `Cannot store image "${name}": no space left on the disk (${text})`, { reason: 'StorageFull' });

/**
 * What the texts of skopeo 1.9 to 1.18 and umoci 0.4 mean: they exit 1 whatever
 * went wrong. The first that matches counts; more special ones come first.
 */
const TEXTS: readonly { readonly match: RegExp; readonly registry: Make; readonly local: Make }[] = [
  { match: /no space left on device|disk quota exceeded/i, registry: full, local: full },
  {
    match: /no image found in (image index|manifest list) for architecture/,
    registry: invalid("it is not for this host's CPU"),
    local: invalid("it is not for this host's CPU"),
  },
  {
    match: /manifest unknown|name unknown|repository name not known|(from registry|StatusCode:) 404/,
    registry: notFound('the registry has no such tag, digest or repository'),
    local: notFound('there is no such image'),
  },
  {
    match: /no descriptor found for reference|tag is not found/,
    registry: notFound('there is no such tag'),
    local: notFound('there is no such tag'),
  },
  {
    match:
      /unauthorized|authentication required|denied: |invalid username\/password|(from registry|StatusCode:) 40[13]/,
    registry: pullFailed(
      'the registry wants other credentials, or has no such repository; give them by --registry-auth-file',
    ),
    local: invalid('it cannot be read'),
  },
  {
    match: /server gave HTTP response to HTTPS client/,
    registry: pullFailed('the registry speaks plain HTTP; allow it by --insecure-registry HOST:PORT'),
    local: invalid('it cannot be read'),
  },
  {
    match: /x509: |certificate/,
    registry: pullFailed(
      "the registry's certificate is not trusted; install its CA on this host, or allow it by --insecure-registry HOST:PORT",
    ),
    local: invalid('it cannot be read'),
  },
  {
    match: /no such host|server misbehaving|Temporary failure in name resolution/,
    registry: pullFailed("the registry's name does not resolve"),
    local: invalid('it cannot be read'),
  },
  {
    match: /connection refused/,
    registry: pullFailed('nothing listens at the registry'),
    local: invalid('it cannot be read'),
  },
  {
    match: /network is unreachable|no route to host/,
    registry: pullFailed('this host has no route to the registry'),
    local: invalid('it cannot be read'),
  },
  {
    match: /i\/o timeout|timeout|deadline exceeded/i,
    registry: pullFailed('the registry does not answer in time'),
    local: invalid('it cannot be read'),
  },
  {
    match: /toomanyrequests|Too Many Requests|(from registry|StatusCode:) 429/,
    registry: pullFailed('the registry asks to pull less often'),
    local: invalid('it cannot be read'),
  },
  {
    match: /Digest did not match|does not match provided manifest digest|invalid checksum|unexpected EOF/,
    registry: pullFailed('what came is not what its digest says, or was cut off'),
    local: invalid('a part of it is corrupt or cut off'),
  },
];

/**
 * The Fault for a failure of the image tools. An abort's reason and Faults
 * that say why already pass through.
 *
 * @param name - the reference, for the message
 * @param tool - what was run last: umoci judges the layers themselves, which no second try mends
 */
export function explain(error: unknown, name: string, origin: Origin, tool: 'skopeo' | 'umoci'): unknown {
  if (!(error instanceof Fault) || error.reason !== undefined) return error;
  const text = essence(error.message);
  if (error.kind === 'timeout')
    return new Fault('timeout', `Cannot pull image "${name}": ${text}`, { reason: 'ImagePullFailed', cause: error });
  if (error.kind === 'full') return full(text, name);
  if (error.kind !== 'tool') return error;
  if (/not installed or not in PATH/.test(error.message))
    return pullFailed(`install the package that has ${tool}`)(text, name);
  if (/ended by SIG/.test(error.message)) return pullFailed(`${tool} was killed`)(text, name);
  const known = TEXTS.find(({ match }) => match.test(error.message));
  if (tool === 'umoci')
    return known?.local === full ? full(text, name) : invalid('its layers cannot be unpacked')(text, name);
  if (known) return known[origin](text, name);
  return origin === 'local' ? invalid('it cannot be read')(text, name) : pullFailed('skopeo failed')(text, name);
}

/** The text behind `level=fatal msg=`, without its time; in one line, and not a page of it. */
function essence(message: string): string {
  const msg = /level=fatal msg="((?:[^"\\]|\\.)*)"/.exec(message)?.[1]?.replaceAll('\\"', '"');
  const one = (msg ?? message).replace(/[\s\p{Cc}]+/gu, ' ').trim();
  return one.length > 400 ? `${one.slice(0, 397)}...` : one;
}
