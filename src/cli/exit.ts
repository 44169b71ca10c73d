/** What a verb's exit status means, the same for every verb. */
export const EXIT = { done: 0, failed: 1, usage: 2, notFound: 3, timedOut: 4, vmFailed: 5 } as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

export interface ProblemOptions extends ErrorOptions {
  /** One line each, e.g. a wrong field. */
  readonly details?: readonly string[];
  /** What to do next, one line each. */
  readonly hints?: readonly string[];
}

/** Ends a verb with an exit status and a text for the user. */
export class Problem extends Error {
  readonly exit: Exit;
  readonly details: readonly string[];
  readonly hints: readonly string[];

  constructor(exit: Exit, message: string, options: ProblemOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Problem';
    this.exit = exit;
    this.details = options.details ?? [];
    this.hints = options.hints ?? [];
  }

  /** As it is shown on standard error. */
  text(): string {
    const details = this.details.map((line) => `\n  ${line}`).join('');
    const hints = this.hints.map((line) => `\n${line}`).join('');
    return `flintlock: ${this.message}${details}${hints}\n`;
  }
}
