import { Fault } from '../domain/fault.ts';

/** Where the bytes came from: a registry may do better next time, a file will not. */
export type Origin = 'registry' | 'local';

/** What another try may bring. */
export interface Prospects {
  /** The registry gave no answer of its own: what is known of it from before may still hold. */
  readonly unreachable?: boolean;
  /** Worth another try within seconds; else somebody must mend something first. */
  readonly soon?: boolean;
}

/** A transfer failed: transient, with reason ImagePullFailed. */
export class PullFault extends Fault {
  readonly unreachable: boolean;
  readonly soon: boolean;

  constructor(
    kind: 'tool' | 'timeout',
    message: string,
    { unreachable = false, soon = false, cause }: Prospects & ErrorOptions,
  ) {
    super(kind, message, { reason: 'ImagePullFailed', cause });
    this.unreachable = unreachable;
    this.soon = soon;
  }
}

type Make = (text: string, name: string) => Fault;
const pullFailed =
  (why: string, prospects: Prospects = {}): Make =>
  (text, name) =>
    new PullFault('tool', `Cannot pull image "${name}": ${why} (${text})`, prospects);
/** Nobody, or nobody in charge, answered. */
const unreachable = (why: string): Make => pullFailed(why, { unreachable: true, soon: true });
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
    match: /exceeded maximum allowed size/,
    registry: invalid('its manifest is larger than any may be'),
    local: invalid('its manifest is larger than any may be'),
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
    match: /getting username and password/,
    registry: pullFailed('the credentials cannot be read; mend the --registry-auth-file'),
    local: invalid('it cannot be read'),
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
    registry: unreachable("the registry's name does not resolve"),
    local: invalid('it cannot be read'),
  },
  {
    match: /connection refused/,
    registry: unreachable('nothing listens at the registry'),
    local: invalid('it cannot be read'),
  },
  {
    match: /network is unreachable|no route to host/,
    registry: unreachable('this host has no route to the registry'),
    local: invalid('it cannot be read'),
  },
  {
    match: /i\/o timeout|timeout|deadline exceeded/i,
    registry: unreachable('the registry does not answer in time'),
    local: invalid('it cannot be read'),
  },
  {
    match: /toomanyrequests|Too Many Requests|(from registry|StatusCode:) 429/,
    registry: pullFailed('the registry asks to pull less often', { unreachable: true }),
    local: invalid('it cannot be read'),
  },
  {
    match: /Digest did not match|does not match provided manifest digest|invalid checksum|unexpected EOF/,
    registry: pullFailed('what came is not what its digest says, or was cut off', { soon: true }),
    local: invalid('a part of it is corrupt or cut off'),
  },
  {
    match: /connection reset|broken pipe|\bEOF\b/,
    registry: unreachable('the connection to the registry was cut'),
    local: invalid('it cannot be read'),
  },
  {
    match: /(unexpected HTTP status:|from registry:?|StatusCode:) 5\d\d/,
    registry: unreachable('the registry has a fault of its own'),
    local: invalid('it cannot be read'),
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
    return new PullFault('timeout', `Cannot pull image "${name}": ${text}`, {
      unreachable: true,
      soon: true,
      cause: error,
    });
  if (error.kind === 'full') return full(text, name);
  if (error.kind !== 'tool') return error;
  if (/not installed or not in PATH/.test(error.message))
    return pullFailed(`install the package that has ${tool}`)(text, name);
  if (/ended by SIG/.test(error.message)) return pullFailed(`${tool} was killed`, { soon: true })(text, name);
  const known = TEXTS.find(({ match }) => match.test(error.message));
  if (tool === 'umoci')
    return known?.local === full ? full(text, name) : invalid('its layers cannot be unpacked')(text, name);
  if (known) return known[origin](text, name);
  return origin === 'local'
    ? invalid('it cannot be read')(text, name)
    : pullFailed('skopeo failed', { soon: true })(text, name);
}

/** The text behind `level=fatal msg=`, without its time; in one line, and not a page of it. */
function essence(message: string): string {
  const msg = /level=fatal msg="((?:[^"\\]|\\.)*)"/.exec(message)?.[1]?.replaceAll('\\"', '"');
  const one = (msg ?? message).replace(/[\s\p{Cc}]+/gu, ' ').trim();
  return one.length > 400 ? `${one.slice(0, 397)}...` : one;
}
