/** How long who calls may take for each part of a request, in milliseconds. */
export interface Waits {
  /** From a connection's beginning to the bytes that say what it speaks. */
  readonly firstBytesMs: number;
  /** For TLS. */
  readonly handshakeMs: number;
  /** Of HTTP/2, from the connection to the first that it says. */
  readonly greetingMs: number;
  /** Of HTTP/1, from a request's first byte to the last of its headers. */
  readonly headersMs: number;
  /** From a request's first byte to its last. */
  readonly requestMs: number;
  /** Of HTTP/2, from a ping to its answer. */
  readonly pongMs: number;
}

export const WAITS: Waits = {
  ...{ firstBytesMs: 10_000, handshakeMs: 10_000, greetingMs: 30_000, headersMs: 10_000, requestMs: 30_000 },
  pongMs: 20_000,
};

/**
 * On a slow host what comes is read late: of bytes that were sent in time, too.
 * @param patience - what each is multiplied by; 1 and above
 */
export const patientWaits = (patience: number): Waits => ({
  firstBytesMs: WAITS.firstBytesMs * patience,
  handshakeMs: WAITS.handshakeMs * patience,
  greetingMs: WAITS.greetingMs * patience,
  headersMs: WAITS.headersMs * patience,
  requestMs: WAITS.requestMs * patience,
  pongMs: WAITS.pongMs * patience,
});
