import { unpacked } from './huffman.ts';

/**
 * HTTP/2's headers, with a table that nothing is added to: who reads them has said so (SETTINGS_HEADER_TABLE_SIZE 0), and
 * who writes them need not use one.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7541
 */
export type Header = readonly [name: string, value: string];

/** Of Appendix A. */
const STATIC: readonly Header[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((status): Header => [':status', status]),
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...(
    'accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control ' +
    'content-disposition content-encoding content-language content-length content-location content-range content-type ' +
    'cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since ' +
    'last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after ' +
    'server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate'
  )
    .split(' ')
    .map((name): Header => [name, '']),
];
/** Never kept by anybody on the way. */
const NEVER_INDEXED = 0x10;
const SEVEN_BITS = 0x7f;
const MOST_BYTES = 4;

export function packHeaders(headers: Iterable<Header>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of headers)
    parts.push(Buffer.from([name === 'authorization' ? NEVER_INDEXED : 0]), packText(name), packText(value));
  return Buffer.concat(parts);
}

function packText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([packNumber(bytes.length), bytes]);
}

function packNumber(value: number): Buffer {
  if (value < SEVEN_BITS) return Buffer.from([value]);
  const bytes = [SEVEN_BITS];
  let rest = value - SEVEN_BITS;
  for (; rest >= 0x80; rest >>= 7) bytes.push((rest & SEVEN_BITS) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** @throws RangeError of what is no header block, or uses a table */
export function unpackHeaders(block: Buffer): readonly Header[] {
  const found: Header[] = [];
  let at = 0;
  const byte = (): number => {
    const value = block[at++];
    if (value === undefined) throw new RangeError('a block of headers ends too soon');
    return value;
  };
  /** @param most - the largest that the first byte holds: more stands in those that follow */
  const number = (first: number, most: number): number => {
    let value = first & most;
    if (value < most) return value;
    for (let i = 0; ; i++) {
      if (i === MOST_BYTES) throw new RangeError('a number in a header is too large');
      const more = byte();
      value += (more & SEVEN_BITS) * 2 ** (7 * i);
      if (more < 0x80) return value;
    }
  };
  const text = (): string => {
    const first = byte();
    const length = number(first, SEVEN_BITS);
    if (at + length > block.length) throw new RangeError('a header ends too soon');
    const bytes = block.subarray(at, at + length);
    at += length;
    return first & 0x80 ? unpacked(bytes) : bytes.toString('latin1');
  };
  const known = (index: number): Header => {
    const header = STATIC[index - 1];
    if (!header) throw new RangeError('a header is of a table that there is none of');
    return header;
  };
  while (at < block.length) {
    const first = byte();
    if (first & 0x80) found.push(known(number(first, SEVEN_BITS)));
    else if ((first & 0xe0) === 0x20)
      number(first, 0x1f); // how large the table is: it is empty
    else {
      const index = number(first, first & 0x40 ? 0x3f : 0x0f);
      const name = index === 0 ? text() : known(index)[0];
      found.push([name, text()]);
    }
  }
  return found;
}
