/** Builds for another purpose than to run what is there: of one version they come last. */
const SPECIAL =
  /kdump|(?:^|[-+._])(?:rescue|recovery|fallback|debug|debuginfo|dbg|rt|realtime|kasan|kcsan|kmsan|gcov|16k|64k|xen)(?=[-+._\d]|$)/i;
/** Parts of a release that stand before the release itself. */
const EARLY = new Set(['~', 'rc', 'alpha', 'beta', 'pre', 'next', 'dev', 'git']);

export const isSpecial = (release: string): boolean => SPECIAL.test(release);

/**
 * Plain releases before special builds, then newest first, in the order of
 * versions: `6.10` is newer than `6.9`, `6.9.0` than `6.9.0-rc7`. One that is
 * not known comes last.
 */
export function compareReleases(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  return Number(isSpecial(a)) - Number(isSpecial(b)) || -compareVersions(a, b);
}

export function compareVersions(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const order = comparePart(left[i], right[i]);
    if (order !== 0) return order;
  }
  return 0;
}

const partsOf = (release: string): readonly string[] => release.toLowerCase().match(/\d+|[a-z]+|~/g) ?? [];

const weight = (part: string | undefined): number =>
  part === undefined ? 1 : EARLY.has(part) ? 0 : /^\d/.test(part) ? 3 : 2;

function comparePart(a: string | undefined, b: string | undefined): number {
  const order = weight(a) - weight(b);
  if (order !== 0 || a === undefined || b === undefined) return order;
  const [x, y] = [a, b].map((part) => part.replace(/^0+(?=\d)/, '')) as [string, string];
  if (/^\d/.test(x)) return x.length - y.length || compareText(x, y);
  return compareText(x, y);
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
