import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';

/**
 * A request's query parameters, in camel or snake case like JSON's fields.
 * One that the route does not know is refused, as an unknown field is.
 */
export class Query {
  readonly #values = new Map<string, string>();

  /**
   * @param query - as Fastify has parsed it: an array for what was given twice
   * @param known - in camel case
   */
  constructor(query: unknown, known: readonly string[]) {
    for (const [name, value] of Object.entries(query ?? {})) {
      const key = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      if (!known.includes(key)) {
        const remedy = known.length > 0 ? `known: ${known.join(', ')}` : 'there are none here';
        throw refusal(shorten(name), `is no query parameter of this request; ${remedy}`);
      }
      if (typeof value !== 'string' || this.#values.has(key)) throw refusal(key, 'may be given once');
      this.#values.set(key, value);
    }
  }

  text(name: string): string {
    return this.#values.get(name) ?? '';
  }

  /** `?follow`, `?follow=true` or `?follow=false`. */
  flag(name: string): boolean {
    const value = this.#values.get(name);
    if (value === undefined || value === 'false') return false;
    if (value === '' || value === 'true') return true;
    throw refusal(name, 'must be true or false');
  }

  /** A whole number from 0 to 2^31 - 1; 0 when absent. */
  count(name: string): number {
    const value = this.text(name) || '0';
    const count = Number(value);
    if (!/^\d{1,10}$/.test(value) || count > 2 ** 31 - 1) throw refusal(name, 'must be a whole number, at least 0');
    return count;
  }
}

const refusal = (field: string, description: string): Fault => Fault.invalid([{ field, description }]);
