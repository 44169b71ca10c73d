const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A time as people write it: `500ms`, `90s`, `1.5m`, `24h`, `7d`; a bare number is seconds.
 * @returns whole milliseconds; undefined: it is none
 */
export function parseDuration(text: string): number | undefined {
  const [, count, unit = 's'] = /^(\d{1,15}(?:\.\d{1,15})?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  const ms = Math.round(Number(count) * (UNIT_MS[unit] ?? Number.NaN));
  return Number.isSafeInteger(ms) ? ms : undefined;
}

const UNITS = ['B', 'K', 'M', 'G', 'T'] as const;

/**
 * A size as people write it: `500M`, `20G`, `1TiB`, in powers of 1024, in either case.
 * @param bare - the unit of a bare number
 * @returns bytes; undefined: it is none
 */
export function parseSize(text: string, bare: (typeof UNITS)[number]): number | undefined {
  const [, count, unit] = /^(\d{1,15})\s?(?:([KMGT])i?B?|B)?$/i.exec(text) ?? [];
  const isBare = unit === undefined && !/b$/i.test(text);
  const power = UNITS.findIndex((one) => one === (isBare ? bare : (unit ?? 'B').toUpperCase()));
  const bytes = Number(count) * 1024 ** power;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
