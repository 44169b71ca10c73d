import { once } from 'node:events';
import type { FastifyReply } from 'fastify';
import { eachUntil } from '../each-until.ts';

export interface StreamOptions {
  readonly contentType: string;
  /** Aborts when the caller goes away or the daemon ends. */
  readonly signal: AbortSignal;
  /** Written when nothing came for so long, so that nobody on the way takes the connection for dead. */
  readonly idle?: { readonly ms: number; readonly text: string };
  /** What to write when the stream fails after its beginning; undefined: the connection is cut, so that the caller sees it. */
  readonly farewell: (error: unknown) => string | undefined;
}

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
  { contentType, signal, idle, farewell }: StreamOptions,
): Promise<void> {
  const pieces = eachUntil(signal, source);
  let next = pieces.next();
  await settledOrLate(next);
  const { raw } = reply.hijack();
  raw.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' });
  raw.flushHeaders();
  let isWaiting = true;
  // A caller that does not read gets none: they would pile up.
  const beat = (): void => void (isWaiting && !raw.writableNeedDrain && !raw.destroyed && raw.write(idle?.text));
  const heart = idle && setInterval(beat, idle.ms);
  try {
    for (let piece = await next; !piece.done; piece = await next) {
      isWaiting = false;
      if (!raw.write(piece.value)) await once(raw, 'drain', { signal });
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

async function settledOrLate(next: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS);
  });
  try {
    await Promise.race([next, late]);
  } finally {
    clearTimeout(timer);
  }
}
