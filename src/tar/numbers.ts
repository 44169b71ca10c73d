import { BadTar } from './bad-tar.ts';
import type { Bytes, Time } from './entry.ts';

/** What is in a field between spaces and NULs; behind a NUL nobody looks. */
export const fieldText = (field: Buffer): string =>
  field
    .toString('latin1')
    .replace(/^[ \0]+|[ \0]+$/g, '')
    .replace(/\0.*$/s, '');

/**
 * A number of a header: octal digits between spaces and NULs, or, with the
 * first bit set, base 256 as GNU tar writes what octal cannot hold.
 * @throws BadTar
 */
export function headerNumber(field: Buffer): number {
  const first = field[0] ?? 0;
  if ((first & 0x80) === 0) {
    const text = fieldText(field);
    if (text === '') return 0;
    if (!/^[0-7]+$/.test(text)) throw new BadTar('has a header with a number that is none');
    return Number.parseInt(text, 8);
  }
  const isNegative = (first & 0x40) !== 0;
  let value = BigInt(isNegative ? first | ~0xff : first & 0x7f);
  for (const byte of field.subarray(1)) value = value * 256n + BigInt(byte);
  return Number(value);
}

/** A decimal number of a pax record. @throws BadTar */
export function paxNumber(key: string, value: Bytes): number {
  if (!/^-?\d{1,19}$/.test(value)) throw new BadTar(`has a pax record "${key}" that is no number`);
  return Number(value);
}

/** The end of what Go, and with it Docker and containerd, can say in nanoseconds. */
const MAX_SECONDS = 9_223_372_036;

/**
 * A time as Docker and containerd set it: what is before 1970, or later than
 * nanoseconds in 63 bits can say, is the beginning of 1970.
 */
export function boundedTime(seconds: number, fraction = ''): Time {
  return seconds < 0 || seconds > MAX_SECONDS ? { seconds: 0, fraction: '' } : { seconds, fraction };
}

/** `SECONDS[.FRACTION]`. @throws BadTar */
export function paxTime(value: Bytes): Time {
  const found = /^(-?)(\d{1,19})(?:\.(\d*))?$/.exec(value);
  if (!found) throw new BadTar('has a pax record "mtime" that is no time');
  const [, sign, seconds = '0', digits = ''] = found;
  const fraction = digits.slice(0, 9).padEnd(9, '0');
  const isBefore = sign === '-' && (Number(seconds) > 0 || Number(fraction) > 0);
  return boundedTime(isBefore ? -1 : Number(seconds), /^0*$/.test(fraction) ? '' : fraction);
}

/**
 * An owner as chown(2) takes it: 32 bits; all of them set means "leave it",
 * which for a new file is root.
 * @throws BadTar
 */
export function owner(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > 0xffff_ffff)
    throw new BadTar(`has a file of the owner ${value}, which Linux cannot have`);
  return value === 0xffff_ffff ? 0 : value;
}
