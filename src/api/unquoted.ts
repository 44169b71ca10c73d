/** Why something is no JSON, without the piece of it that V8 quotes: it may be a secret of the guest's. */
export const unquoted = (message: string): string =>
  message.replace(/, (?:\.\.\.)?".*"(?:\.\.\.)? is not valid JSON$/s, ': it is no valid JSON');
