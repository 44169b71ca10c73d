/** Of an error, what it was caused by, and that by what. */
const MAX_CAUSES = 5;

/** What was thrown, as a part of a sentence: an error's message, or the thing itself. */
export const errorMessage = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

/** What was thrown, for who looks for a bug: where it came from, and what caused it. Several lines. */
export function errorTrace(thrown: unknown): string {
  const texts: string[] = [];
  for (let one = thrown; one !== undefined && texts.length < MAX_CAUSES; ) {
    texts.push(one instanceof Error ? (one.stack ?? one.message) : String(one));
    one = one instanceof Error ? one.cause : undefined;
  }
  return texts.join('\ncaused by: ');
}
