import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { clock } from '../host/clock.ts';
import { runForeground } from '../host/foreground.ts';

/** One of the standard streams that are written to. */
export interface Sink {
  /** Resolves once the reader has taken it; what nobody reads any more is dropped. */
  write(data: string | Uint8Array): Promise<void>;
  readonly isTerminal: boolean;
  /** Of the terminal now; 80 where there is none. */
  columns(): number;
  /** Of the terminal now. */
  size(): { rows: number; columns: number };
  /** Calls back when the terminal has another size. @returns how to stop */
  onResize(changed: () => void): () => void;
}

/** Standard input. */
export interface Source extends AsyncIterable<Uint8Array> {
  readonly isTerminal: boolean;
  /** On a terminal keys come one by one and unaltered, Ctrl-C too; false gives it back as it was. */
  setRaw(raw: boolean): void;
  /** Reads no more: a read under way ends. */
  close(): void;
}

/** All that a verb may know of the world around the program. */
export interface Io {
  readonly stdout: Sink;
  readonly stderr: Sink;
  stdin(): Source;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts at the first Ctrl-C, or when the program is told to end; a second time ends it at once. */
  readonly interrupt: AbortSignal;
  /** Aborts when nobody reads standard output any more, e.g. after `| head`. */
  readonly unread: AbortSignal;
  /** Milliseconds since 1970. */
  now(): number;
  /** Rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** What begins this program, for others that are to run it. */
  readonly program: readonly string[];
  /** Runs another program at these streams: see `host/foreground.ts`. */
  readonly run: typeof runForeground;
}

/** The process's own streams. */
export function processIo(): Io {
  const interrupt = new AbortController();
  const unread = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => interrupt.abort(new Error('interrupted')));
  return {
    stdout: sink(process.stdout, unread),
    stderr: sink(process.stderr, new AbortController()),
    stdin: () => source(process.stdin),
    env: process.env,
    interrupt: interrupt.signal,
    unread: unread.signal,
    now: clock.now,
    sleep: clock.sleep,
    program: ownProgram(),
    run: runForeground,
  };
}

/** The program as users call it, which goes on to be it over upgrades; else the very process. */
function ownProgram(): readonly string[] {
  const { execPath, execArgv, argv } = process;
  const script = argv[1] ?? '';
  // Both src/cli/main.ts and dist/bundle/flintlock.cjs lie two directories deep.
  const program = join(script, '../../../bin/flintlock');
  return existsSync(program) ? [program] : [execPath, ...execArgv, script];
}

function source(stream: NodeJS.ReadStream): Source {
  return {
    isTerminal: stream.isTTY === true,
    async *[Symbol.asyncIterator]() {
      // Of a stream that is closed meanwhile it is an error that it did not end.
      try {
        yield* stream;
      } catch (error) {
        if (!stream.destroyed) throw error;
      }
    },
    setRaw(raw) {
      if (stream.isTTY) stream.setRawMode(raw);
    },
    close: () => void stream.destroy(),
  };
}

function sink(stream: NodeJS.WriteStream, closed: AbortController): Sink {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && !closed.signal.aborted) {
      process.exitCode = 1; // the disk that it is sent to is full, say
      if (stream !== process.stderr) process.stderr.write(`flintlock: Cannot write the output: ${error.message}\n`);
    }
    closed.abort(error);
  });
  return {
    write: (data) =>
      new Promise((resolve) => {
        if (closed.signal.aborted) return resolve();
        stream.write(data, () => resolve()); // what went wrong comes as the event above
      }),
    isTerminal: stream.isTTY === true,
    columns: () => stream.columns || 80,
    size: () => ({ rows: stream.rows || 24, columns: stream.columns || 80 }),
    onResize(changed) {
      stream.on('resize', changed);
      return () => void stream.off('resize', changed);
    },
  };
}
