import { shorten } from './labels.ts';

/**
 * A MAC address in one form: lower case, with colons.
 * @returns the address, or what is wrong with it
 */
export function parseMac(text: string): string | { readonly wrong: string } {
  const form = /^([0-9a-f]{2})([:-])(?:[0-9a-f]{2}\2){4}[0-9a-f]{2}$/i.exec(text);
  if (!form) return { wrong: `"${shorten(text)}" is no MAC address: write six hex pairs as 52:54:00:12:34:56` };
  const mac = text.toLowerCase().replaceAll('-', ':');
  const first = Number.parseInt(mac.slice(0, 2), 16);
  // The lowest bit of the first byte marks a group address (IEEE 802-2014, 8.2.2).
  if (first & 1) return { wrong: `${mac} is a multicast address: the first byte must be even` };
  if (mac === '00:00:00:00:00:00') return { wrong: `${mac} is no address of a device` };
  return mac;
}

/**
 * A made-up address: locally administered, unicast (IEEE 802-2014, 8.2.2).
 * @param random - at least 0, below 1
 */
export function makeMac(random: () => number): string {
  const bytes = Array.from({ length: 5 }, () => Math.floor(random() * 256));
  return [0x52, ...bytes].map((b) => b.toString(16).padStart(2, '0')).join(':');
}
