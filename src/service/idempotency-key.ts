import { isObject } from '../base/json.ts';
import type { SpecDraft } from '../domain/draft.ts';
import { Fault } from '../domain/fault.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { CreateOptions } from './services.ts';

export type IdempotencyNeeds = NeedsOf<'store', 'answered' | 'answer'> & Needs<'clock' | 'digest'>;

/** Printable, so that it passes through a header as it is. */
const KEY = /^[\x21-\x7e]{1,255}$/;

/** A request that is to be done once, however often it comes: it is known by its idempotency key. */
export class IdempotencyKey {
  readonly #needs: IdempotencyNeeds;
  readonly #key: string;
  /** As it is stored: a space is in no key, so none of one caller is one of another. */
  readonly #stored: string;
  readonly #digest: string;

  /**
   * @returns undefined for a request without a key
   * @throws Fault `invalid` for what is no key
   */
  static of(needs: IdempotencyNeeds, draft: SpecDraft, options: CreateOptions): IdempotencyKey | undefined {
    const { idempotencyKey = '', knows = '', uniqueId } = options;
    if (idempotencyKey === '') return undefined;
    if (!KEY.test(idempotencyKey))
      throw Fault.invalid([
        {
          field: 'idempotency_key',
          description: 'must have 1 to 255 printable ASCII characters without spaces, for instance a UUID',
        },
      ]);
    const stored = knows === '' ? idempotencyKey : `${knows} ${idempotencyKey}`;
    return new IdempotencyKey(needs, idempotencyKey, stored, needs.digest(`create ${uniqueId} ${canonical(draft)}`));
  }

  private constructor(needs: IdempotencyNeeds, key: string, stored: string, digest: string) {
    this.#needs = needs;
    this.#key = key;
    this.#stored = stored;
    this.#digest = digest;
  }

  /**
   * What this request was answered when it came first.
   * @throws Fault `refused` when the key is another request's
   */
  answer(): MicroVm | undefined {
    const first = this.#needs.store.answered(this.#stored);
    if (!first || first.digest === this.#digest) return first?.vm;
    const { uid, spec } = first.vm;
    throw new Fault(
      'refused',
      `Cannot create the microVM: idempotency key "${this.#key}" was used at ${new Date(first.at).toISOString()} for another request, which made microVM ${spec.namespace}/${spec.id} (${uid}): send that one again unchanged, or take another key`,
    );
  }

  /** In the transaction that does what the request asks for. */
  keep(vm: MicroVm): void {
    this.#needs.store.answer(this.#stored, { digest: this.#digest, vm, at: this.#needs.clock.now() });
  }
}

/**
 * The same text for the same request, from whatever surface. What is as if left
 * out is left out: so a field that a newer daemon knows changes no old request.
 */
export function canonical(draft: SpecDraft): string {
  const { labels, metadata, providerOptions } = draft;
  const inOrder = (map: Readonly<Record<string, string>>): unknown =>
    Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const all = {
    ...draft,
    labels: inOrder(labels),
    metadata: inOrder(metadata),
    providerOptions: inOrder(providerOptions),
  };
  return JSON.stringify(all, (_, value: unknown) => (isObject(value) ? withoutDefaults(value) : value));
}

function withoutDefaults(value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const isDefault = (one: unknown): boolean =>
    one === undefined || one === '' || one === 0 || one === false || (Array.isArray(one) && one.length === 0);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => !isDefault(one))
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}
