const MAX_CAUSES = 5;
export const errorMessage = (thrown) => (thrown instanceof Error ? thrown.message : String(thrown));
export function errorTrace(thrown) {
  const texts = [];
  for (let one = thrown; one !== undefined && texts.length < MAX_CAUSES; ) {
    texts.push(one instanceof Error ? (one.stack ?? one.message) : String(one));
    one = one instanceof Error ? one.cause : undefined;
  }
  return texts.join('\ncaused by: ');
}
