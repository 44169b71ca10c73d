import { once } from 'node:events';
import type { FastifyReply } from 'fastify';
import { endsWithin } from '../../base/ends-within.ts';
import { eachUntil } from '../each-until.ts';
import { type CallFlow, PIECE_BYTES } from '../flow/flow.ts';

export interface StreamOptions {
  readonly contentType: string;
  /** Aborts when the caller goes away or the daemon ends. */
  readonly signal: AbortSignal;
  /** Whose caller has so long to take a piece; absent: as long as it likes. */
  readonly room?: Pick<CallFlow, 'sends' | 'sent'>;
  /** Written when nothing came for so long, so that nobody on the way takes the connection for dead. */
  readonly idle?: { readonly ms: number; readonly text: string };
  /** What to write when the stream fails after its beginning; undefined: the connection is cut, so that the caller sees it. */
  readonly farewell: (error: unknown) => string | undefined;
}

/**
 * Proxies collect what they pass on, nginx 4 KiB of it as it is shipped, and
 * pack it where they are told to: a reader would see events late, and in lumps.
 */
const UNBUFFERED = { 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' };

/** A refusal comes at once: so long the status line waits for one, then a quiet stream begins. */
const PATIENCE_MS = 100;

/**
 * Answers with what comes from `source`, piece by piece: no faster than the
 * caller reads, and no longer than it is there.
 *
 * @throws what the source throws before its first piece: nothing is sent yet
 */
export async function sendStream(
  reply: FastifyReply,
  source: AsyncIterable<string | Uint8Array>,
  { contentType, signal, room, idle, farewell }: StreamOptions,
): Promise<void> {
  const pieces = eachUntil(signal, source);
  let next = pieces.next();
  await endsWithin(PATIENCE_MS, next);
  const { raw } = reply.hijack();
  raw.writeHead(200, { 'content-type': contentType, ...UNBUFFERED });
  raw.flushHeaders();
  let isWaiting = true;
  // A caller that does not read gets none: they would pile up.
  const beat = (): void => void (isWaiting && !raw.writableNeedDrain && !raw.destroyed && raw.write(idle?.text));
  const heart = idle && setInterval(beat, idle.ms);
  try {
    for (let piece = await next; !piece.done; piece = await next) {
      isWaiting = false;
      const bytes = Buffer.from(piece.value);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        room?.sends();
        if (!raw.write(bytes.subarray(at, at + PIECE_BYTES))) await once(raw, 'drain', { signal });
        room?.sent();
      }
      heart?.refresh();
      isWaiting = true;
      next = pieces.next();
    }
    raw.end();
  } catch (error) {
    const last = raw.destroyed ? undefined : farewell(error);
    if (last === undefined) raw.destroy();
    else raw.end(last);
  } finally {
    clearInterval(heart);
    await pieces.return(undefined).catch(() => {});
  }
}
