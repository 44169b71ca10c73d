import { main } from '../../src/cli/main.ts';

export interface CliOptions {
  readonly stdin?: string;
  /** Standard input is a terminal on which this is typed, piece by piece; it ends when the verb closes it. */
  readonly typed?: AsyncIterable<string>;
  /** Called with what standard input is made: raw or not. */
  readonly onRaw?: (raw: boolean) => void;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard output and error are a terminal. */
  readonly terminal?: boolean;
  /** Ctrl-C. */
  readonly interrupt?: AbortSignal;
  /** The reader of standard output goes away after this many writes. */
  readonly readWrites?: number;
  /** Called with each program that is run, and its environment. @returns its exit status */
  readonly onRun?: (argv: readonly string[], env: Readonly<Record<string, string | undefined>>) => number | undefined;
  /** Called with all of standard output and error so far. */
  readonly onWrite?: (all: string) => void;
}

export interface CliResult {
  readonly exit: number;
  readonly stdout: string;
  readonly stdoutBytes: Buffer;
  readonly stderr: string;
}

/** Runs the command line in this process. */
export async function runCli(argv: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const unread = new AbortController();
  const sink = (parts: Uint8Array[], limit = Number.POSITIVE_INFINITY) => ({
    async write(data: string | Uint8Array): Promise<void> {
      if (unread.signal.aborted && parts === out) return;
      parts.push(Buffer.from(data));
      if (parts.length >= limit) unread.abort(new Error('EPIPE'));
      options.onWrite?.(Buffer.concat([...out, ...err]).toString());
    },
    isTerminal: options.terminal ?? false,
    columns: () => 80,
    size: () => ({ rows: 24, columns: 80 }),
    onResize: () => () => undefined,
  });
  const exit = await main(argv, {
    stdout: sink(out, options.readWrites),
    stderr: sink(err),
    stdin: () => ({
      isTerminal: options.typed !== undefined,
      async *[Symbol.asyncIterator]() {
        if (options.typed === undefined) yield Buffer.from(options.stdin ?? '');
        else for await (const text of options.typed) yield Buffer.from(text);
      },
      setRaw: (raw) => options.onRaw?.(raw),
      close: () => undefined,
    }),
    env: options.env ?? {},
    interrupt: options.interrupt ?? new AbortController().signal,
    unread: unread.signal,
    now: () => Date.now(),
    program: ['/usr/bin/flintlock'],
    run: async (argv, { env }) => (options.onRun ? options.onRun(argv, env) : 0),
    // News of a wait come ten times as fast.
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const timer = setTimeout(resolve, ms / 10);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          reject(signal.reason);
        });
      }),
  });
  const stdoutBytes = Buffer.concat(out);
  return { exit, stdout: stdoutBytes.toString(), stdoutBytes, stderr: Buffer.concat(err).toString() };
}
