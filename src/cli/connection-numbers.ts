/** What every HTTP/2 connection of the command line's has, whoever makes it. They lie apart because Node's `http2` is not to be loaded for them. */

/** A connection is asked so often whether it lives, so that nobody waits on a dead host, or on a daemon that stands still, for ever. */
export const PING_MS = 30_000;
export const PONG_MS = 15_000;
/** So much may come before this program has looked at it: with less, each piece of a file would wait for both sides to have their turn. */
export const WINDOW_BYTES = 1 << 20;
