import type { Violation } from './fault.ts';

/** A provider as it stands to one spec. */
export interface Candidate {
  readonly name: string;
  /** Why it cannot be used on this host, with the remedy; absent: it can. */
  readonly unavailable?: string;
  /** There is no such program: nobody has to be told that it was not taken. */
  readonly absent?: true;
  /** What it cannot do of the spec, in API field names. */
  readonly lacks: readonly Violation[];
}

/** A provider that comes before the chosen one, and why it is not that. */
export interface PassedOver {
  readonly name: string;
  /** Whether this host cannot use it at all. */
  readonly unusable: boolean;
  /** For people. */
  readonly why: string;
}

export type ProviderChoice = Readonly<
  | { is: 'chosen'; provider: string; passedOver: readonly PassedOver[] }
  /** None of those that may be taken can be used on this host. */
  | { is: 'unavailable'; provider: string; why: string }
  /** What none of them can do. `provider`: the one that is told of; absent: there is none of that name. */
  | { is: 'refused'; provider?: string; violations: readonly Violation[] }
>;

/**
 * Those that a spec may go to, in the order in which they are tried.
 *
 * @param wanted - `spec.provider`; empty: whichever
 * @param byDefault - the order where none is wanted
 */
export const mayGoTo = (wanted: string, byDefault: readonly string[]): readonly string[] =>
  wanted === '' ? byDefault : [wanted];

/**
 * Which provider a spec goes to: the one that it names, else the first that can
 * be used and can do all that it asks. It stays there for its whole life.
 *
 * @param wanted - `spec.provider`; empty: whichever
 * @param known - the names of all that this daemon has
 * @param possible - those of {@link mayGoTo} that it has, in that order
 */
export function chooseProvider(
  wanted: string,
  known: readonly string[],
  possible: readonly Candidate[],
): ProviderChoice {
  const [first] = possible;
  if (!first) {
    const description = `"${wanted}" is none of this daemon's: give ${known.join(' or ')}, or nothing`;
    return { is: 'refused', violations: [{ field: 'provider', description }] };
  }
  const usable = possible.filter(({ unavailable }) => unavailable === undefined);
  const able = usable.find(({ lacks }) => lacks.length === 0);
  if (able) {
    const before = possible.slice(0, possible.indexOf(able)).filter(({ absent }) => !absent);
    return { is: 'chosen', provider: able.name, passedOver: before.map(passedOver) };
  }
  const [nearest] = usable;
  if (!nearest) return { is: 'unavailable', provider: first.name, why: whyNone(possible) };
  const { name: provider, lacks } = nearest;
  if (usable.length === 1) return { is: 'refused', provider, violations: lacks };
  const violations = usable.flatMap(({ name, lacks }) =>
    lacks.map(({ field, description }) => ({ field, description: `${description} (${name})` })),
  );
  return { is: 'refused', provider, violations };
}

const passedOver = ({ name, unavailable, lacks }: Candidate): PassedOver => ({
  ...{ name, unusable: unavailable !== undefined },
  why: unavailable ?? lacks.map(({ field, description }) => `${field}: ${description}`).join('; '),
});

function whyNone(possible: readonly Candidate[]): string {
  const [only] = possible;
  if (possible.length === 1) return only?.unavailable ?? '';
  return possible.map(({ name, unavailable = '' }) => `${name}: ${unavailable}`).join('; ');
}
