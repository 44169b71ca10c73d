const CTRL_BRACKET = 0x1d;
const TILDE = 0x7e;
const DOT = 0x2e;
const LINE_ENDS = [0x0a, 0x0d];

/** How to detach, for messages. */
export const DETACH_KEYS = 'Ctrl-], or Enter ~ .';

/** Finds in what is typed the keys that are for us and not for the guest: Ctrl-] anywhere, `~.` at the beginning of a line. */
export class Escapes {
  #atLineStart = true;
  /** A tilde that is held back until the next key says what it means. */
  #tilde = false;

  /** @returns what is for the guest, and whether the user wants to leave; what follows those keys is dropped */
  feed(typed: Uint8Array): { readonly data: Uint8Array; readonly detach: boolean } {
    const data: number[] = [];
    const done = (detach: boolean) => ({ data: Uint8Array.from(data), detach });
    for (const byte of typed) {
      if (byte === CTRL_BRACKET || (this.#tilde && byte === DOT)) return done(true);
      if (!this.#tilde && this.#atLineStart && byte === TILDE) {
        this.#tilde = true;
        continue;
      }
      // Two tildes are one; before any other key it was just a tilde.
      if (this.#tilde && byte !== TILDE) data.push(TILDE);
      this.#tilde = false;
      data.push(byte);
      this.#atLineStart = LINE_ENDS.includes(byte);
    }
    return done(false);
  }
}
