import { Fault } from '../domain/fault.ts';
import type { AgentInfo, ExecInput, ExecStart } from '../ports/guest-agent.ts';

/**
 * The protocol of the guest agent, as upstream's speaks it: one byte type, four bytes length, big-endian, the payload.
 * From 32 on they are ours, and only for an agent whose `info` names the feature.
 */
export const AGENT_FRAME = {
  request: 1,
  stdin: 2,
  stdinEnd: 3,
  stdout: 4,
  stderr: 5,
  exit: 6,
  error: 7,
  resize: 32,
  signal: 33,
  opened: 48,
  statistics: 49,
  ended: 50,
  goingDown: 56,
} as const;

const HEAD_BYTES = 5;
/** Upstream's own limit. */
const MAX_FRAME = 16 << 20;
/** Of what is kept until it is whole: an exit, an error, what an agent says of itself. */
const MAX_KEPT = 64 << 10;
/** A request that is longer no agent takes: its arguments are more than a kernel does. */
const MAX_REQUEST = 4 << 20;

export function agentFrame(type: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  frame.set(frameHead(type, payload.length));
  frame.set(payload, HEAD_BYTES);
  return frame;
}

/** What goes before the payload of a frame. */
export function frameHead(type: number, bytes: number): Uint8Array {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head[0] = type;
  head.writeUInt32BE(bytes, 1);
  return head;
}

/** A part of a frame's payload: output is passed on as it comes, what is short comes whole. */
export interface AgentPiece {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Reads what an agent sends, whatever it is. */
export class AgentDecoder {
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headLength = 0;
  #left = 0;
  #kept: Buffer[] = [];

  /**
   * The data lies in `bytes` where it can.
   * @throws Fault `tool` for what no agent sends
   */
  *push(bytes: Uint8Array): Generator<AgentPiece> {
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (;;) {
      if (this.#headLength < HEAD_BYTES) {
        const count = rest.copy(this.#head, this.#headLength);
        this.#headLength += count;
        rest = rest.subarray(count);
        if (this.#headLength < HEAD_BYTES) return;
        this.#begin();
      }
      const type = this.#head.readUInt8(0);
      const data = rest.subarray(0, this.#left);
      rest = rest.subarray(data.length);
      this.#left -= data.length;
      if (isOutput(type)) {
        if (data.length > 0) yield { type, data };
      } else if (isKept(type)) {
        this.#kept.push(Buffer.from(data));
        if (this.#left === 0) yield { type, data: Buffer.concat(this.#kept) };
      }
      if (this.#left > 0) return;
      this.#headLength = 0;
      this.#kept = [];
    }
  }

  #begin(): void {
    const type = this.#head.readUInt8(0);
    this.#left = this.#head.readUInt32BE(1);
    const most = isKept(type) ? MAX_KEPT : MAX_FRAME;
    if (this.#left > most)
      throw new Fault('tool', `The guest agent sent a frame of type ${type} with ${this.#left} bytes, over ${most}`);
  }
}

/** Whether a frame's payload is handed on as it comes. */
export const isOutput = (type: number): boolean => type === AGENT_FRAME.stdout || type === AGENT_FRAME.stderr;
const KEPT: readonly number[] = [
  ...[AGENT_FRAME.exit, AGENT_FRAME.error, AGENT_FRAME.statistics, AGENT_FRAME.goingDown],
  ...[AGENT_FRAME.opened, AGENT_FRAME.ended],
];
const isKept = (type: number): boolean => KEPT.includes(type);

/** @throws Fault `invalid` for one that no agent takes */
export function execRequest(start: ExecStart): Uint8Array {
  const { command, args, directory, environment, shell, user, timeoutSeconds, hasStdin, terminal } = start;
  return request({
    op: 'exec',
    exec: {
      ...{ cmd: command, args, cwd: directory, env: environment, shell, user },
      ...{ timeout_sec: timeoutSeconds, has_stdin: hasStdin },
      ...(terminal && { tty: { rows: terminal.rows, cols: terminal.columns, term: terminal.term } }),
    },
  });
}

export const infoRequest = (): Uint8Array => request({ op: 'info' });

/** For the feature `files`: standard input and output are those of the file server, see file-records.ts. */
export const filesRequest = (): Uint8Array => request({ op: 'files' });
/** With the feature `watch`: answered by a frame when the guest goes down. */
export const watchRequest = (): Uint8Array => request({ op: 'watch' });

/** With the feature `clock`. @param now - in milliseconds since 1970 */
export function clockRequest(now: number): Uint8Array {
  const sec = Math.floor(now / 1_000);
  return request({ op: 'clock', clock: { sec, nsec: Math.round((now - sec * 1_000) * 1_000_000) % 1_000_000_000 } });
}

function request(what: object): Uint8Array {
  const bytes = Buffer.from(JSON.stringify({ version: 1, ...what }));
  if (bytes.length > MAX_REQUEST)
    throw Fault.invalid([
      { field: 'start', description: `makes a request of ${bytes.length} bytes, an agent takes ${MAX_REQUEST}` },
    ]);
  return agentFrame(AGENT_FRAME.request, bytes);
}

/** Of standard input one frame for each piece, which is short enough to let others between. */
export function inputFrame(input: ExecInput): Uint8Array {
  switch (input.is) {
    case 'stdin':
      return agentFrame(AGENT_FRAME.stdin, input.data);
    case 'stdin end':
      return agentFrame(AGENT_FRAME.stdinEnd);
    case 'resize': {
      const size = Buffer.alloc(4);
      size.writeUInt16BE(clampSize(input.rows), 0);
      size.writeUInt16BE(clampSize(input.columns), 2);
      return agentFrame(AGENT_FRAME.resize, size);
    }
    case 'signal':
      return agentFrame(AGENT_FRAME.signal, Uint8Array.of(input.number & 0xff));
    default:
      return input satisfies never;
  }
}

const clampSize = (cells: number): number => Math.min(0xffff, Math.max(0, Math.trunc(cells) || 0));

/** @throws Fault `tool` when it is no exit */
export function parseExit(data: Uint8Array): { readonly code: number; readonly timedOut: boolean } {
  const { code, timed_out: timedOut } = record(data, 'exit');
  if (typeof code !== 'number' || !Number.isInteger(code) || code < -1 || code > 0xffff)
    throw new Fault('tool', 'The guest agent told of an exit without its status');
  return { code, timedOut: timedOut === true };
}

export function parseError(data: Uint8Array): string {
  const { msg } = record(data, 'error');
  return typeof msg === 'string' ? msg.slice(0, 500) : 'it does not say why';
}

export function parseInfo(data: Uint8Array): AgentInfo {
  const { version, uname, features } = record(data, 'info');
  return {
    version: text(version),
    uname: text(uname),
    features: Array.isArray(features) ? features.slice(0, 32).map(text) : [],
  };
}

/** @throws Fault `tool` when it is no answer to {@link clockRequest} */
export function parseClock(data: Uint8Array): number {
  const { behind_ms: behind } = record(data, 'clock');
  if (typeof behind !== 'number' || !Number.isFinite(behind))
    throw new Fault('tool', 'The guest agent does not tell how its clock was');
  return behind;
}

/** One line, and short: a guest's words end in logs and on terminals. */
const text = (value: unknown): string =>
  typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '?').slice(0, 200) : '';

function record(data: Uint8Array, what: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder().decode(data));
  } catch {
    parsed = undefined;
  }
  if (typeof parsed !== 'object' || parsed === null)
    throw new Fault('tool', `The guest agent sent an ${what} that is no JSON object`);
  return { ...parsed };
}
