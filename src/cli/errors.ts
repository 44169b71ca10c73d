import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { errorMessage, errorTrace } from '../base/error-text.ts';
import { BadRequestSchema } from '../gen/google/rpc/error_details_pb.ts';
import { type Address, addressText, DEFAULT_PORT, DEFAULT_SOCKET } from './address.ts';
import { EXIT, type Exit, Problem } from './exit.ts';
import { printable } from './print/style.ts';

/** The codes that have an exit status of their own. */
const EXITS: ReadonlyMap<Code, Exit> = new Map([
  [Code.NotFound, EXIT.notFound],
  [Code.DeadlineExceeded, EXIT.timedOut],
]);

/** What to do next, where the code alone says it. */
const HINTS: ReadonlyMap<Code, string> = new Map([
  [Code.NotFound, '"flintlock list -A" shows what there is; "flintlock get --deleted" still knows some that are gone.'],
  [Code.ResourceExhausted, '"flintlock info" shows what the host has and what is promised.'],
  [Code.Unauthenticated, 'Give it with --token-file FILE, FLINTLOCK_TOKEN or a context: see flintlock context --help.'],
  [Code.Internal, 'This is a fault of flintlockd: its log (standard error of flintlockd) says more.'],
]);

/** What is not found may be an image. */
const OF_IMAGES = [
  '"flintlock image ls" shows the images that are on the host. What a layout or an archive has is in the message; of a registry, "skopeo list-tags docker://HOST/NAME" tells the tags.',
];

function hintsFor(code: Code, said: string): readonly string[] {
  // Of what is on the host it says itself where that is shown.
  if (code === Code.NotFound && said.startsWith('Image "')) return [];
  if (code === Code.NotFound && /^Cannot (find|use|pull|remove) image\b/.test(said)) return OF_IMAGES;
  return [HINTS.get(code) ?? []].flat();
}

/**
 * Makes of anything thrown what the user is told.
 *
 * @param what - what was tried, e.g. `Cannot delete default/a`; put before the daemon's words
 */
export function explain(error: unknown, address: Address, what?: string): Problem {
  if (!(error instanceof ConnectError)) {
    return new Problem(EXIT.failed, `A fault of flintlock itself: ${errorTrace(error)}`, { cause: error });
  }
  return unreachable(error, address) ?? answered(error, address, what);
}

/** An error that the daemon answered with. */
function answered(error: ConnectError, address: Address, what: string | undefined): Problem {
  const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  const details = violations.map(({ field, description }) => printable(`${field}: ${description}`));
  const said = printable(error.rawMessage, true);
  // What the daemon says often begins with it already.
  const before = what === undefined || said.startsWith('Cannot ') ? '' : `${what}: `;
  const options = { details, hints: hintsFor(error.code, said), cause: error };
  const exit = EXITS.get(error.code) ?? EXIT.failed;
  // The violations are its message over again, one a line.
  if (details.length > 0) return new Problem(exit, `${what ?? 'Cannot do that'}: the daemon refuses it`, options);
  if (error.code === Code.DeadlineExceeded && said === 'the operation timed out')
    return new Problem(exit, `${what ?? 'Cannot do that'}: no answer in time from ${addressText(address)}`, {
      ...options,
      hints: [
        ...options.hints,
        'Where the host is slow, FLINTLOCK_PATIENCE=3 makes the command wait three times as long.',
      ],
    });
  return new Problem(exit, `${before}${said || Code[error.code]}`, options);
}

/** Nobody, or no daemon of ours, is at the address; undefined when one answered. */
function unreachable(error: ConnectError, address: Address): Problem | undefined {
  const at = addressText(address);
  const problem = (why: string, hints: readonly string[]): Problem =>
    new Problem(EXIT.failed, `No daemon answers at ${at}: ${why}`, { hints, cause: error });
  const turnedAway = (words: string): Problem =>
    problem(`it turned the connection away: ${printable(words)}`, TURNED_AWAY);
  if (error.metadata.get('flintlock-connection') === 'refused') return turnedAway(error.rawMessage);
  for (const code of nodeCodes(error)) {
    switch (code) {
      case 'ECONNREFUSED':
        return problem('connection refused', howToStart(address));
      case 'ENOENT':
        return problem('there is no such socket', howToStart(address));
      case 'EACCES':
      case 'EPERM':
        return problem('permission denied', [
          'The socket is open to root and to the group flintlock. Use sudo, or join the group and log in again:',
          '  sudo usermod -aG flintlock "$USER"',
        ]);
      case 'ENOTFOUND':
      case 'EAI_AGAIN':
        return problem('that host name does not resolve', ['Give another with: flintlock --host HOST:PORT …']);
      case 'ERR_TURNED_AWAY':
        return turnedAway(wordsOf(error));
      case 'ETIMEDOUT':
      case 'EHOSTUNREACH':
      case 'ENETUNREACH':
        return problem('the host cannot be reached', ['Give another with: flintlock --host HOST:PORT …']);
      case 'ECONNRESET':
      case 'EPIPE':
        return problem('the connection was cut', cutHints(address));
      default: {
        const tls = tlsProblem(code, address);
        if (tls) return problem(...tls);
        if (/^(ERR_HTTP2_|HPE_)/.test(code) && code !== 'ERR_HTTP2_STREAM_CANCEL' && code !== 'ERR_HTTP2_STREAM_ERROR')
          return problem('what listens there does not speak plain gRPC', [
            'Is that the port of another program, or the HTTP endpoint? Give another with: flintlock --host HOST:PORT …',
            ...perhapsTls(address),
          ]);
      }
    }
  }
  return wasCut(error) ? problem('the connection was cut', cutHints(address)) : undefined;
}

const TURNED_AWAY = [
  'TLS is spoken with --tls-ca FILE, or --host https://HOST:PORT; a client certificate is given with --tls-cert and --tls-key.',
];

/** What is wrong between two that both speak TLS, or one of whom does. */
function tlsProblem(code: string, address: Address): [why: string, hints: string[]] | undefined {
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return [
        'its certificate is for another name',
        ['Give that name: flintlock --tls-server-name NAME …, or the host as it stands in the certificate.'],
      ];
    case 'CERT_HAS_EXPIRED':
      return ['its certificate has expired', ['Renew it on that host: flintlockd takes a new --tls-cert by itself.']];
    case 'CERT_NOT_YET_VALID':
      return ['its certificate is not valid yet', ['Is the clock of this host right?']];
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'CERT_SIGNATURE_FAILURE':
      return [
        'its certificate is of an authority that is not known here',
        ['Give the file with the authority that signed it: flintlock --tls-ca FILE …'],
      ];
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      if ('host' in address && address.secure)
        return [
          'what listens there does not speak TLS',
          ['Leave the TLS flags and https:// away, if it may be plain text.'],
        ];
      return undefined;
    default:
      return /^ERR_SSL_|^ERR_TLS_/.test(code)
        ? [`TLS failed (${code})`, ['See the log of flintlockd on that host.']]
        : undefined;
  }
}

/** The words of what lies deepest. */
function wordsOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? wordsOf(error.cause) : errorMessage(error);
}

const cutHints = (address: Address): string[] => [
  'Was the daemon stopped? Its microVMs go on without it; try again.',
  ...perhapsTls(address),
];

/** Who speaks TLS and hears plain text hangs up, more often than not without a word. */
const perhapsTls = (address: Address): string[] =>
  'host' in address && !address.secure
    ? ['Or does it speak TLS? Then: flintlock --tls-ca FILE …, or --host https://HOST:PORT']
    : [];

/** Whether the daemon may answer when asked again: it was stopped or cut off, perhaps for a restart. */
export const isLost = (error: ConnectError): boolean =>
  error.code === Code.Unavailable || wasCut(error) || nodeCodes(error).length > 0;

/** A daemon that ends at once leaves streams that look cancelled, and nobody here cancelled them: see Ctrl-C in main.ts. */
const wasCut = (error: ConnectError): boolean => error.code === Code.Canceled;

/** The error codes of Node below an error, outermost first. */
function nodeCodes(error: unknown): string[] {
  const codes: string[] = [];
  const seen = new Set<unknown>();
  const visit = (one: unknown): void => {
    if (!(one instanceof Error) || seen.has(one)) return;
    seen.add(one);
    if ('code' in one && typeof one.code === 'string') codes.push(one.code);
    if (one instanceof AggregateError) one.errors.forEach(visit); // one for each address of a name
    visit(one.cause);
  };
  visit(error);
  return codes;
}

function howToStart(address: Address): string[] {
  const checkout = join(import.meta.dirname, '../../bin/flintlockd');
  const program = existsSync(checkout) ? checkout : 'flintlockd';
  return [
    `Start one: sudo ${program} run --insecure${flagsFor(address)}`,
    'Or give the address of another: flintlock --host HOST:PORT|unix:///path … (or FLINTLOCK_HOST).',
  ];
}

/** Makes a daemon listen there; empty where it does so by default. */
function flagsFor(address: Address): string {
  if ('host' in address)
    return address.host === 'localhost' && address.port === DEFAULT_PORT
      ? ''
      : ` --grpc-endpoint ${addressText(address)}`;
  if (address.socket === DEFAULT_SOCKET) return '';
  const directory = /^(.+)\/api\.sock$/.exec(address.socket)?.[1]; // every daemon makes one in its run-time directory
  return directory === undefined ? ` --grpc-endpoint ${addressText(address)}` : ` --run-dir ${directory}`;
}
