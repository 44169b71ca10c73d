import { type ChildProcess, spawn } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import { Fault } from '../domain/fault.ts';
import type { ProcessExit, StartOptions } from '../ports/host.ts';
import { staysWithUs } from './run.ts';
import { STARTER_PROGRAM } from './starter-program.ts';

/** One that did not work is tried again after so long. */
const AGAIN_MS = 60_000;

/** A process that was started by another of ours. */
export interface StartedFor {
  readonly pid: number;
  readonly startTime: string;
  /** Undefined: who started it has ended before it, and nobody is told how it ends. */
  readonly exited: Promise<ProcessExit | undefined>;
}

/** Where a start failed: at a file, by its number among those that it was to find open; at its directory; at the program. */
export class StartFailure extends Error {
  readonly where: 'file' | 'directory' | 'program';
  readonly file: number;

  constructor(where: StartFailure['where'], file: number, cause: NodeJS.ErrnoException) {
    super(cause.message, { cause });
    this.where = where;
    this.file = file;
  }

  get errno(): NodeJS.ErrnoException {
    return this.cause as NodeJS.ErrnoException;
  }
}

/** As {@link Starter} is told of a file: opened to append, to read, or to read and write. */
export interface StartFile {
  readonly how: 'a' | 'r' | 'w';
  readonly path: string;
}

/** What is told of each process that a starter has started, as Node tells of its own on `child_process`. */
export const STARTED_FOR_US = 'flintlock.started-for-us';

/** Starts programs by a small process that stays: see `starter-program.ts`. */
export class Starter {
  readonly #argv: readonly [string, ...string[]];
  readonly #elapsed: () => number;
  #living: Living | undefined;
  #doubtedUntil = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  /** @param program - Default: what every Debian has */
  constructor(
    program: readonly [string, ...string[]] = ['perl', '-e', STARTER_PROGRAM],
    elapsed = () => performance.now(),
  ) {
    this.#argv = program;
    this.#elapsed = elapsed;
  }

  /** Has it there when it is needed. */
  begin(): void {
    if (this.#isClosed || this.#living?.isThere || this.#elapsed() < this.#doubtedUntil) return;
    this.#living = new Living(this.#argv, () => {
      this.#doubtedUntil = this.#elapsed() + AGAIN_MS;
    });
  }

  /**
   * Starts a program that outlives us: own session.
   *
   * @param files - found open as descriptors 0, 1, 2, …
   * @returns undefined where there is none to start it
   * @throws StartFailure; Fault `tool` where what it started, if anything, is not known
   */
  async start(
    argv: readonly string[],
    files: readonly StartFile[],
    directory: StartOptions['directory'],
  ): Promise<StartedFor | undefined> {
    this.begin();
    return this.#living?.start(argv, files, directory);
  }

  /** It ends; what it has started does not. */
  close(): void {
    this.#isClosed = true;
    this.#living?.end();
  }
}

interface Waiting {
  /** Nothing was started, and nothing will be. */
  none(): void;
  started(pid: number, startTime: string): void;
  failed(why: unknown): void;
}

/** One process that starts others, until it ends. */
class Living {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #running = new Map<number, (exit: ProcessExit | undefined) => void>();
  #text = '';
  #asked = 0;
  #isThere = true;
  /** Before that it has started nothing. */
  #isReady = false;

  /** @param onUseless - it has ended before it was ready */
  constructor(argv: readonly [string, ...string[]], onUseless: () => void) {
    const [program, ...args] = staysWithUs(argv);
    // Of our session, and so of our weight (ADR 0012): what it starts has a session of its own each.
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8' },
    });
    this.#child = child;
    // It keeps nobody from ending, but while an answer is waited for.
    child.unref();
    if (child.stdin instanceof Socket) child.stdin.unref();
    this.#keepUs();
    child.stdin?.on('error', () => undefined); // it has ended, which is told below
    child.stdout?.setEncoding('latin1').on('data', (text: string) => this.#hear(text));
    const over = (): void => {
      if (!this.#isThere) return;
      this.#isThere = false;
      if (!this.#isReady) {
        onUseless();
        for (const { none } of this.#waiting.values()) none();
        this.#waiting.clear();
      }
      this.#leave();
    };
    child.on('error', over);
    child.on('close', over);
  }

  get isThere(): boolean {
    return this.#isThere;
  }

  start(
    argv: readonly string[],
    files: readonly StartFile[],
    directory: string | undefined,
  ): Promise<StartedFor | undefined> | undefined {
    if (!this.#isThere) return undefined;
    const id = ++this.#asked;
    const words = [
      String(id),
      directory ?? '',
      String(files.length),
      ...files.flatMap(({ how, path }) => [how, path]),
      ...argv,
    ];
    const wrong = words.find((word) => word.includes('\0'));
    if (wrong !== undefined) throw new Fault('tool', `Cannot start ${argv[0]}: a NUL is in ${JSON.stringify(wrong)}`);
    const body = Buffer.from(words.join('\0'));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, {
        started: (pid, startTime) => {
          const exited = new Promise<ProcessExit | undefined>((told) => this.#running.set(pid, told));
          resolve({ pid, startTime, exited });
        },
        failed: reject,
        none: () => resolve(undefined),
      });
      this.#keepUs();
      this.#child.stdin?.write(Buffer.concat([length, body]));
    });
  }

  end(): void {
    this.#child.stdin?.end();
  }

  #hear(text: string): void {
    const lines = (this.#text + text).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) this.#hearLine(line.split(' '));
  }

  #hearLine([what = '', number = '', ...rest]: readonly string[]): void {
    if (what === 'ready') {
      this.#isReady = true;
      return;
    }
    if (what === 'ended') {
      const told = this.#running.get(Number(number));
      this.#running.delete(Number(number));
      told?.(exitOf(Number(rest[0])));
      return;
    }
    const waiting = this.#waiting.get(Number(number));
    this.#waiting.delete(Number(number));
    this.#keepUs();
    if (what === 'started') {
      channel(STARTED_FOR_US).publish({ pid: Number(rest[0]) });
      waiting?.started(Number(rest[0]), rest[1] ?? '');
    } else waiting?.failed(failureOf(rest));
  }

  #keepUs(): void {
    const { stdout } = this.#child;
    if (!(stdout instanceof Socket)) return;
    if (this.#waiting.size > 0) stdout.ref();
    else stdout.unref();
  }

  /** Nobody is told of anything any more. */
  #leave(): void {
    const why = new Fault(
      'tool',
      'The process that starts programs ended before it said what it had started; it is tried again',
    );
    for (const { failed } of this.#waiting.values()) failed(why);
    for (const told of this.#running.values()) told(undefined);
    this.#waiting.clear();
    this.#running.clear();
  }
}

const WHERE: Readonly<Record<string, StartFailure['where']>> = { open: 'file', enter: 'directory' };

function failureOf([where = '', file = '', errno = '']: readonly string[]): StartFailure {
  // Of an answer without a number nothing is known but that it failed.
  const number = -(Number(errno) || constants.errno.EIO);
  const code = getSystemErrorName(number);
  const cause = Object.assign(new Error(`${code}: ${getSystemErrorMessage(number)}`), { code, errno: number });
  return new StartFailure(WHERE[where] ?? 'program', Number(file), cause);
}

/** Of two names the first: SIGABRT, not SIGIOT. */
const SIGNALS: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

/** As wait(2) has it: the low seven bits are the signal. */
function exitOf(status: number): ProcessExit {
  const signal = status & 0x7f;
  return signal === 0
    ? { code: status >> 8, signal: null, seen: true }
    : { code: null, signal: SIGNALS.get(signal) ?? String(signal), seen: true };
}
