/**
 * Why the work ends. `invalid`: the image is at fault, for good; `full`: the
 * disk is; `tool`: a program of the host is.
 */
export type RefusalKind = 'invalid' | 'full' | 'tool';

/** What ends the work with a sentence for the user: the message is a clause that follows the image's name. */
export class Refusal extends Error {
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind, why: string) {
    super(why);
    this.name = 'Refusal';
    this.kind = kind;
  }
}

export const invalid = (why: string): Refusal => new Refusal('invalid', why);
