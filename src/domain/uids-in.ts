/** As many letters and digits as a uid has, or more that one may lie in. */
const RUN = /[0-9A-Z]{26,}/g;
const LENGTH = 26;

/**
 * Every text of a uid's length that lies in another one: to be looked up among
 * the uids that are known, so that the cost does not grow with their number.
 */
export function uidsIn(text: string): readonly string[] {
  return (text.match(RUN) ?? []).flatMap((run) =>
    Array.from({ length: run.length - LENGTH + 1 }, (_, at) => run.slice(at, at + LENGTH)),
  );
}
