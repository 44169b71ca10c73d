/**
 * Reads a JSON object as Firecracker does: strictly, field after field, and what is wrong is told in the words of Rust's serde_json,
 * with the place, in bytes.
 * @see https://docs.rs/serde_json
 */
export type Kind =
  | 'a string'
  | 'a boolean'
  | 'u8'
  | 'u16'
  | 'u32'
  | 'usize'
  | 'mac'
  | 'ipv4'
  | 'strings'
  | 'any'
  | { readonly of: readonly string[] };

export interface Field {
  readonly kind: Kind;
  readonly required?: true;
}

export interface Shape {
  /** As Rust calls it. */
  readonly name: string;
  readonly fields: Readonly<Record<string, Field>>;
}

export class Misread extends Error {}

const LIMITS = { u8: 255, u16: 65_535, u32: 4_294_967_295, usize: Number.MAX_SAFE_INTEGER } as const;

/** @throws Misread with serde_json's words */
export function readObject(text: string, { name, fields }: Shape): Readonly<Record<string, unknown>> {
  const reader = new Reader(text);
  reader.blank();
  if (reader.peek() === undefined) reader.fail('EOF while parsing a value', 0);
  if (reader.peek() === '[') reader.noSequence(`struct ${name} with ${Object.keys(fields).length} elements`);
  if (reader.peek() !== '{') reader.wrongType(`struct ${name}`);
  reader.take();
  const found: Record<string, unknown> = {};
  for (let isFirst = true; ; isFirst = false) {
    reader.blank();
    if (reader.peek() === '}') break;
    if (!isFirst) {
      if (reader.peek() !== ',')
        reader.fail(reader.peek() === undefined ? 'EOF while parsing an object' : 'expected `,` or `}`', 1);
      reader.take();
      reader.blank();
      if (reader.peek() === '}') reader.fail('trailing comma', 1);
    }
    if (reader.peek() === undefined) reader.fail('EOF while parsing an object', 0);
    if (reader.peek() !== '"') reader.fail('key must be a string', 1);
    const key = reader.text();
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (!field) return reader.fail(`unknown field \`${key}\`, expected ${oneOf(Object.keys(fields))}`, 0);
    if (key in found) reader.fail(`duplicate field \`${key}\``, 0);
    reader.blank();
    if (reader.peek() === undefined) reader.fail('EOF while parsing an object', 0);
    if (reader.peek() !== ':') reader.fail('expected `:`', 1);
    reader.take();
    reader.blank();
    found[key] = reader.value(field);
  }
  reader.take();
  const missing = Object.entries(fields).find(([key, { required }]) => required && !(key in found))?.[0];
  if (missing !== undefined) reader.fail(`missing field \`${missing}\``, 0);
  reader.blank();
  if (reader.peek() !== undefined) reader.fail('trailing characters', 1);
  return found;
}

/** Any JSON at all. @throws Misread with serde_json's words */
export function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told in its words below.
  }
  const reader = new Reader(text);
  reader.blank();
  if (reader.peek() === undefined) reader.fail('EOF while parsing a value', 0);
  const value = reader.value({ kind: 'any', required: true });
  reader.blank();
  if (reader.peek() !== undefined) reader.fail('trailing characters', 1);
  return value;
}

const oneOf = (names: readonly string[]): string => {
  const quoted = names.map((name) => `\`${name}\``);
  if (quoted.length === 1) return quoted[0] ?? '';
  return quoted.length === 2 ? quoted.join(' or ') : `one of ${quoted.join(', ')}`;
};

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  peek(): string | undefined {
    return this.#text[this.#at];
  }

  take(): void {
    this.#at++;
  }

  blank(): void {
    while (/[ \t\n\r]/.test(this.peek() ?? 'x')) this.#at++;
  }

  /** @param ahead - whether what was only looked at counts */
  fail(words: string, ahead: 0 | 1): never {
    const read = this.#text.slice(0, this.#at + ahead);
    const lines = read.split('\n');
    throw new Misread(`${words} at line ${lines.length} column ${Buffer.byteLength(lines.at(-1) ?? '')}`);
  }

  text(): string {
    const [whole = ''] = /^"(?:[^"\\]|\\.)*"/s.exec(this.#text.slice(this.#at)) ?? [];
    if (whole === '') this.fail('EOF while parsing a string', 0);
    this.#at += whole.length;
    return String(JSON.parse(whole.replaceAll('\n', '\\n')));
  }

  value({ kind, required }: Field): unknown {
    if (!required && this.#word('null')) return undefined;
    if (kind === 'any') return this.#any();
    if (typeof kind === 'object') {
      if (this.peek() !== '"') return this.fail('expected value', 1);
      const variant = this.text();
      if (!kind.of.includes(variant)) this.fail(`unknown variant \`${variant}\`, expected ${oneOf(kind.of)}`, 0);
      return variant;
    }
    if (kind === 'mac') return this.#mac();
    if (kind === 'ipv4') return this.#ipv4();
    if (kind === 'strings') return this.#strings();
    if (kind === 'a string') return this.peek() === '"' ? this.text() : this.wrongType(kind);
    if (kind === 'a boolean') {
      if (this.#word('true')) return true;
      return this.#word('false') ? false : this.wrongType(kind);
    }
    const number = this.#number();
    if (number === undefined) return this.wrongType(kind);
    if (/[.eE]/.test(number)) return this.fail(`invalid type: floating point \`${number}\`, expected ${kind}`, 0);
    const value = Number(number);
    if (value < 0 || value > LIMITS[kind]) this.fail(`invalid value: integer \`${number}\`, expected ${kind}`, 0);
    return value;
  }

  /** A struct may be an array of its fields: an empty one is too short. */
  noSequence(expected: string): never {
    this.take();
    this.blank();
    if (this.peek() === ']') this.take();
    return this.fail(`invalid length 0, expected ${expected}`, 0);
  }

  /** What stands here is of another type. */
  wrongType(expected: string): never {
    if (this.peek() === '"')
      return this.fail(`invalid type: string ${JSON.stringify(this.text())}, expected ${expected}`, 0);
    if (this.#word('null')) return this.fail(`invalid type: null, expected ${expected}`, 0);
    for (const word of ['true', 'false'])
      if (this.#word(word)) return this.fail(`invalid type: boolean \`${word}\`, expected ${expected}`, 0);
    const number = this.#number();
    if (number !== undefined) return this.fail(`invalid type: integer \`${number}\`, expected ${expected}`, 0);
    if (this.peek() === '{') return this.fail(`invalid type: map, expected ${expected}`, 0);
    if (this.peek() === '[') return this.fail(`invalid type: sequence, expected ${expected}`, 0);
    return this.fail('expected value', 1);
  }

  /** It is read as text, and judged when what is around it has been read. */
  #mac(): string {
    if (this.peek() !== '"') return this.wrongType('a string');
    const mac = this.text();
    if (/^[\da-f]{2}(?::[\da-f]{2}){5}$/i.test(mac)) return mac;
    this.blank();
    if (this.peek() === '}') this.take();
    return this.fail('The provided MAC address is invalid.', 0);
  }

  #ipv4(): string {
    if (this.peek() !== '"') return this.wrongType('IPv4 address');
    const address = this.text();
    const isOne = /^(?:(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])(?:\.(?!$)|$)){4}$/.test(address);
    return isOne ? address : this.fail('invalid IPv4 address syntax', 0);
  }

  #strings(): readonly string[] {
    if (this.peek() !== '[') return this.wrongType('a sequence');
    this.take();
    const found: string[] = [];
    for (;;) {
      this.blank();
      if (this.peek() === ']') break;
      if (found.length > 0) {
        if (this.peek() !== ',') this.fail('expected `,` or `]`', 1);
        this.take();
        this.blank();
      }
      found.push(this.peek() === '"' ? this.text() : this.wrongType('a string'));
    }
    this.take();
    return found;
  }

  #word(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #number(): string | undefined {
    const [number] = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/.exec(this.#text.slice(this.#at)) ?? [];
    this.#at += number?.length ?? 0;
    return number;
  }

  /** The shortest beginning that is JSON. */
  #any(): unknown {
    for (let end = this.#at + 1; end <= this.#text.length; end++)
      try {
        const value: unknown = JSON.parse(this.#text.slice(this.#at, end));
        if (/^[\d.]$/.test(this.#text[end] ?? '')) continue;
        this.#at = end;
        return value;
      } catch {
        // not yet
      }
    if (this.#text.slice(this.#at).trim() === '{') {
      this.take();
      return this.fail('EOF while parsing an object', 0);
    }
    return this.fail('expected value', 1);
  }
}
