import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../base/error-text.ts';
import type { ExecRequestSchema } from '../gen/flintlock/microvm/v1/guest_pb.ts';
import type { Context } from './context.ts';
import { DETACH_KEYS, Escapes } from './escapes.ts';
import { EXIT } from './exit.ts';
import type { Source } from './io.ts';

export interface ExecWanted {
  readonly command: string;
  readonly args: string[];
  readonly shell: boolean;
  readonly user: string;
  readonly directory: string;
  readonly environment: Record<string, string>;
  readonly hasStdin: boolean;
  readonly wantsTerminal: boolean;
  readonly timeout?: Duration;
}

type Request = MessageInitShape<typeof ExecRequestSchema>;

const PIECE_BYTES = 32 << 10;
const SIGINT = 2;
/** A program that wrote to a pipe which nobody reads any more would have ended so: 128 + SIGPIPE. */
const NOBODY_READS = 141;

/**
 * Runs a program in a guest as if it ran here.
 *
 * @returns its exit status
 * @throws ConnectError
 */
export async function execIn(context: Context, uid: string, wanted: ExecWanted): Promise<number> {
  const { io } = context;
  const { hasStdin, wantsTerminal, ...program } = wanted;
  const keyboard = hasStdin ? io.stdin() : undefined;
  // A script that says -t runs without a terminal too, and its program needs none there.
  const isTerminal = wantsTerminal && io.stdout.isTerminal && (keyboard === undefined || keyboard.isTerminal);
  const escapes = isTerminal && keyboard ? new Escapes() : undefined;
  const left = new AbortController();
  const queue = new Requests();
  const start = {
    ...{ ...program, uid, hasStdin },
    ...(isTerminal && { terminal: { size: io.stdout.size(), term: io.env.TERM ?? '' } }),
  };
  queue.add({ payload: { case: 'start', value: start } });
  const stops = [
    isTerminal ? io.stdout.onResize(() => queue.add({ payload: { case: 'resize', value: io.stdout.size() } })) : noStop,
    onAbort(io.interrupt, () => queue.add({ payload: { case: 'signal', value: SIGINT } })),
  ];
  const signal = AbortSignal.any([io.unread, left.signal]);
  const guests = await (await context.clients()).guests({ once: true });
  if (escapes) keyboard?.setRaw(true);
  try {
    if (keyboard) void type(context, keyboard, queue, escapes, left);
    for await (const { payload } of guests.exec(queue.messages(), { signal })) {
      if (payload.case === 'stdout') await io.stdout.write(payload.value);
      else if (payload.case === 'stderr') await io.stderr.write(payload.value);
      else if (payload.case === 'exit') {
        if (payload.value.timedOut) await context.err('flintlock: The time was over, and the program was ended\n');
        return payload.value.code;
      }
    }
    throw new ConnectError('The daemon ended the call without the status of the program', Code.Unavailable);
  } catch (error) {
    if (io.unread.aborted) return NOBODY_READS;
    if (!left.signal.aborted) throw error;
    await context.hint('\nLeft; the program is being ended.');
    return EXIT.failed;
  } finally {
    left.abort(new Error('over'));
    queue.end();
    for (const stop of stops) stop();
    if (escapes) keyboard?.setRaw(false);
    keyboard?.close();
  }
}

/** Sends what is typed, no faster than it is taken, until its end. */
async function type(
  context: Context,
  keyboard: Source,
  queue: Requests,
  escapes: Escapes | undefined,
  left: AbortController,
): Promise<void> {
  if (escapes) await context.hint(`${DETACH_KEYS} leaves it.`);
  try {
    for await (const bytes of keyboard) {
      const { data, detach } = escapes?.feed(bytes) ?? { data: bytes, detach: false };
      for (let from = 0; from < data.length; from += PIECE_BYTES) {
        const value = new Uint8Array(data.subarray(from, from + PIECE_BYTES));
        await queue.taken({ payload: { case: 'stdin', value } });
      }
      if (detach) return left.abort(new Error('left'));
      if (left.signal.aborted) return;
    }
    queue.add({ payload: { case: 'stdinEof', value: true } });
  } catch (error) {
    if (!left.signal.aborted)
      await context.err(`flintlock: Cannot read standard input any more: ${errorMessage(error)}\n`);
  }
}

/** What is to be sent, from several sides. */
class Requests {
  readonly #waiting: { readonly request: Request; readonly taken: () => void }[] = [];
  #wake = (): void => undefined;
  #isOver = false;

  add(request: Request): void {
    void this.taken(request);
  }

  /** Resolves when it is on its way. */
  taken(request: Request): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver) return resolve();
      this.#waiting.push({ request, taken: resolve });
      this.#wake();
    });
  }

  end(): void {
    this.#isOver = true;
    for (const { taken } of this.#waiting.splice(0)) taken();
    this.#wake();
  }

  async *messages(): AsyncGenerator<Request> {
    while (!this.#isOver) {
      const next = this.#waiting.shift();
      if (next) {
        yield next.request;
        next.taken();
      } else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

const noStop = (): void => undefined;

function onAbort(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act();
  else signal.addEventListener('abort', act, { once: true });
  return () => signal.removeEventListener('abort', act);
}
