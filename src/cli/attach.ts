import { Code, ConnectError } from '@connectrpc/connect';
import { errorMessage } from '../base/error-text.ts';
import type { MicroVM } from '../gen/types/microvm_pb.ts';
import type { Context } from './context.ts';
import { DETACH_KEYS, Escapes } from './escapes.ts';
import { nameOf, uidOf } from './print/microvm.ts';
import { printable } from './print/style.ts';

/** Why nobody is attached any more: the run is over, the user has left, or Ctrl-C where that is not for the guest. */
export type AttachEnd = 'over' | 'detached' | 'interrupted';

/** The daemon takes at most 64 KiB a message. */
const PIECE_BYTES = 16 << 10;

/** A message of AttachConsole, as the client sends it. */
type Typed = { uid: string; tailBytes: bigint } | { data: Uint8Array<ArrayBuffer> };

/**
 * Connects standard input and output to a guest's console until the run ends.
 * On a terminal every key goes to the guest, Ctrl-C too, but those that
 * detach; what is no terminal is sent as it is, and its end detaches nobody.
 *
 * @param options - `tailBytes`: how much of what was written before is shown first, 0: all that is kept; `after`:
 * standard input is held until this was written: a guest that boots loses what comes too early
 * @throws ConnectError
 */
export async function attach(
  context: Context,
  vm: MicroVM,
  { tailBytes, after = '' }: { readonly tailBytes: number; readonly after?: string },
): Promise<AttachEnd> {
  const { io } = context;
  const awaited = new Awaited(after);
  const keyboard = io.stdin();
  const escapes = keyboard.isTerminal ? new Escapes() : undefined;
  const left = new AbortController();
  const signal = AbortSignal.any([io.interrupt, io.unread, left.signal]);

  async function* typed(): AsyncGenerator<Typed> {
    yield { uid: uidOf(vm), tailBytes: BigInt(tailBytes) };
    await awaited.seen;
    try {
      for await (const bytes of keyboard) {
        const { data, detach } = escapes?.feed(bytes) ?? { data: bytes, detach: false };
        for (let from = 0; from < data.length; from += PIECE_BYTES)
          yield { data: new Uint8Array(data.subarray(from, from + PIECE_BYTES)) };
        if (detach) left.abort(new Error('detached'));
        if (detach) return;
      }
    } catch (error) {
      if (!signal.aborted)
        await context.err(`flintlock: Cannot read standard input any more: ${errorMessage(error)}\n`);
    }
  }

  const { vms } = await context.clients();
  if (escapes) await context.hint(`Attached to ${printable(nameOf(vm))}; ${DETACH_KEYS} leaves it, and it goes on.`);
  const end = (): AttachEnd => (left.signal.aborted ? 'detached' : 'interrupted');
  keyboard.setRaw(true);
  try {
    for await (const { data } of vms.attachConsole(typed(), { signal })) {
      await io.stdout.write(data);
      awaited.look(data);
      if (signal.aborted) return end();
    }
    return 'over';
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (signal.aborted) return end();
    if (error.code === Code.NotFound) return 'over'; // it was deleted meanwhile
    throw error;
  } finally {
    left.abort(new Error('over'));
    keyboard.setRaw(false);
    keyboard.close();
  }
}

/** Looks for a text in what comes in pieces. */
class Awaited {
  readonly seen: Promise<void>;
  readonly #text: Buffer;
  readonly #resolve: () => void;
  #before = Buffer.alloc(0);

  constructor(text: string) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.seen = promise;
    this.#resolve = resolve;
    this.#text = Buffer.from(text);
    this.look(new Uint8Array());
  }

  look(data: Uint8Array): void {
    const all = Buffer.concat([this.#before, data]);
    if (all.includes(this.#text)) this.#resolve();
    // What may be its beginning.
    this.#before = Buffer.from(all.subarray(Math.max(0, all.length - this.#text.length + 1)));
  }
}
