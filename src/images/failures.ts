import { Fault } from '../domain/fault.ts';
import { oneLine } from '../domain/one-line.ts';
import { noRoom } from '../domain/room-words.ts';

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
/** @param said - all that was said, also of the disk */
const noRoomFor = (name: string, text: string, said: string): Fault =>
  new Fault('full', `Cannot store image "${name}": ${noRoom(said)} (${text})`, { reason: 'StorageFull' });
const full: Make = (text, name) => noRoomFor(name, text, text);

/**
 * What the texts of skopeo 1.9 to 1.18 mean: it exits 1 whatever went wrong.
 * The first that matches counts; more special ones come first.
 */
const TEXTS: readonly { readonly match: RegExp; readonly fault: Make }[] = [
  { match: /no space left on device|disk quota exceeded/i, fault: full },
  {
    match: /no image found in (image index|manifest list) for architecture/,
    fault: invalid("it is not for this host's CPU"),
  },
  { match: /exceeded maximum allowed size/, fault: invalid('its manifest is larger than any may be') },
  {
    // The registry gave away a place for its layers that is not its own.
    match: /fetching blob: invalid status code from registry 40[013]/i,
    fault: pullFailed(
      'the registry has it, and the storage behind it does not give its layers out; addresses there hold for minutes: is the clock of this host right?',
      { soon: true },
    ),
  },
  {
    match: /fetching blob: invalid status code from registry 404|blob unknown/i,
    fault: notFound('the registry has its manifest, and lacks a part of it: push it again'),
  },
  {
    // Harbor's words: of what is not there, and of what may not be pulled.
    match: / unknown: (artifact|resource|repository|project|tag)\b.*\bnot found/i,
    fault: notFound('the registry has no such tag, digest or repository'),
  },
  {
    match: /invalid character '<' looking for beginning of value/,
    fault: pullFailed('a web page came where a registry would answer: a proxy, a portal, or another address', {
      unreachable: true,
    }),
  },
  {
    match: /unsupported schema version/,
    fault: pullFailed(
      'the registry sends its manifest as something else (Content-Type), so that skopeo cannot read it',
    ),
  },
  {
    match: /manifest unknown|name unknown|repository name not known|(from registry|StatusCode:) 404/,
    fault: notFound('the registry has no such tag, digest or repository'),
  },
  { match: /reading manifest .* unknown: /, fault: pullFailed('the registry does not give it out') },
  {
    match: /getting username and password/,
    fault: pullFailed('the credentials cannot be read; mend the --registry-auth-file'),
  },
  {
    match:
      /unauthorized|authentication required|denied: |invalid username\/password|(from registry|StatusCode:) 40[13]/,
    fault: pullFailed(
      'the registry wants other credentials, or has no such repository; give them by --registry-auth-file',
    ),
  },
  {
    match: /proxyconnect|Proxy Authentication Required|invalid proxy/i,
    fault: unreachable("the proxy that the daemon's environment names (HTTPS_PROXY, NO_PROXY) does not let us through"),
  },
  {
    match: /server gave HTTP response to HTTPS client/,
    fault: pullFailed('the registry speaks plain HTTP; allow it by --insecure-registry HOST:PORT'),
  },
  {
    match: /x509: |certificate/,
    fault: pullFailed(
      "the registry's certificate is not trusted; install its CA on this host, or allow it by --insecure-registry HOST:PORT",
    ),
  },
  {
    match: /no such host|server misbehaving|Temporary failure in name resolution/,
    fault: unreachable("the registry's name does not resolve"),
  },
  { match: /connection refused/, fault: unreachable('nothing listens at the registry') },
  { match: /network is unreachable|no route to host/, fault: unreachable('this host has no route to the registry') },
  { match: /i\/o timeout|timeout|deadline exceeded/i, fault: unreachable('the registry does not answer in time') },
  {
    match: /toomanyrequests|Too Many Requests|(from registry|StatusCode:) 429/,
    fault: pullFailed('the registry asks to pull less often', { unreachable: true }),
  },
  {
    // Its registries' part, and its own `dir:`, know no other digests; those that come from registries were checked before.
    match: /saved with digest sha256:|does not match (expected|provided manifest digest) sha512:/,
    fault: invalid(
      'it names its parts by sha512, and this skopeo takes only sha256 from registries; copy it into an OCI layout by another tool and name that: oci:/DIR:TAG',
    ),
  },
  {
    match: /Digest did not match|does not match provided manifest digest|invalid checksum|unexpected EOF/,
    fault: pullFailed('what came is not what its digest says, or was cut off', { soon: true }),
  },
  { match: /connection reset|broken pipe|\bEOF\b/, fault: unreachable('the connection to the registry was cut') },
  {
    match: /(unexpected HTTP status:|from registry:?|StatusCode:) 5\d\d/,
    fault: unreachable('the registry has a fault of its own'),
  },
];

/**
 * The Fault for a failure of skopeo. An abort's reason and Faults that say
 * why already pass through.
 *
 * @param name - the reference, for the message
 */
export function explain(error: unknown, name: string): unknown {
  if (!(error instanceof Fault)) return error;
  const text = essence(error.message);
  if (error.kind === 'full' && !error.message.startsWith('Cannot')) return noRoomFor(name, text, error.message);
  if (error.reason !== undefined) return error;
  if (error.kind === 'timeout')
    return new PullFault('timeout', `Cannot pull image "${name}": ${text}`, {
      unreachable: true,
      soon: true,
      cause: error,
    });
  if (error.kind !== 'tool') return error;
  if (/not installed or not in PATH/.test(error.message))
    return pullFailed('install the package that has skopeo')(text, name);
  if (/ended by SIG/.test(error.message)) return pullFailed('skopeo was killed', { soon: true })(text, name);
  const said = withoutNames(error.message, name);
  const known = TEXTS.find(({ match }) => match.test(said));
  return known ? known.fault(text, name) : pullFailed('skopeo failed', { soon: true })(text, name);
}

/** What is said of an image, and not what it is called: `unauthorized/certificate-proxy` says nothing of why it fails. */
function withoutNames(message: string, name: string): string {
  const [, host = '', repository = ''] = /^([^/]+)\/([^:@]+)/.exec(name) ?? [];
  const bare = host.replace(/:\d+$/, '');
  const names = [
    `${host}/`,
    ...[bare].filter((one) => one.includes('.')),
    ...[repository].filter((one) => one.includes('/')),
  ];
  const isName = (word: string): boolean => word.includes('://') || names.some((one) => word.includes(one));
  return message.replace(/[^\s"\\]+/g, (word) => (isName(word) ? '…' : word));
}

/** The text behind `level=fatal msg=`, without its time; in one line, and not a page of it. */
function essence(message: string): string {
  const msg = /level=fatal msg="((?:[^"\\]|\\.)*)"/.exec(message)?.[1]?.replaceAll('\\"', '"');
  return oneLine(msg ?? message, 400);
}
