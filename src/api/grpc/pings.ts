import type { Http2Session } from 'node:http2';
import { WAITS } from '../waits.ts';

/** A connection is asked so often whether it lives: a host that lost its power says nothing. */
const PING_MS = 30_000;

/** Ends a connection that does not answer any more, and with it its streams and our work for them. */
export function watchOver(session: Http2Session, { pingMs = PING_MS, pongMs = WAITS.pongMs } = {}): void {
  let late: NodeJS.Timeout | undefined;
  const pings = setInterval(() => {
    if (session.destroyed || late) return;
    late = setTimeout(() => session.destroy(), pongMs);
    // It is false where too many are under way; then one of those will tell.
    session.ping(() => {
      clearTimeout(late);
      late = undefined;
    });
  }, pingMs);
  session.once('close', () => {
    clearInterval(pings);
    clearTimeout(late);
  });
}
