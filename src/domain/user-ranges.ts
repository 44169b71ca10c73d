/** Users by number, the last one included. */
export interface UserRange {
  readonly first: number;
  readonly last: number;
}

/** Users that somebody of the host has. */
export interface OthersUsers extends UserRange {
  /** For messages. */
  readonly who: string;
}

/** Of a block that is chosen: as many as the host's own tools give to one user's containers. */
const BLOCK = 65_536;
const FIRST = 700_000;
/** Programs that take a uid for a signed number know none beyond it. */
const LAST = 2 ** 31 - 1;
const MOST_NAMED = 3;

/** `FIRST-LAST`; undefined where it is no range that VMMs could run as. */
export function parseUserRange(text: string): UserRange | undefined {
  const [, first, last] = /^(\d{1,10})-(\d{1,10})$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last) };
  // 0 is root, 65534 nobody, whose files are many programs'; (uid_t)-1 is no user.
  const hasNobody = range.first <= 65_534 && range.last >= 65_534;
  const isRange = first !== undefined && range.first >= 1_000 && range.first <= range.last && range.last < 2 ** 32 - 1;
  return isRange && !hasNobody ? range : undefined;
}

/**
 * The users of a host: its accounts, and what they may use in containers of their own.
 *
 * @param passwd - /etc/passwd
 * @param subuid - /etc/subuid
 * @see passwd(5), subuid(5)
 */
export function othersUsers(passwd: string, subuid: string): readonly OthersUsers[] {
  const accounts = passwd.split('\n').flatMap((line) => {
    const [name, , uid = ''] = line.split(':');
    return /^\d+$/.test(uid) ? [{ first: Number(uid), last: Number(uid), who: `the account ${name} (${uid})` }] : [];
  });
  const ranges = subuid.split('\n').flatMap((line) => {
    const [name, from = '', count = ''] = line.split(':');
    if (!/^\d+$/.test(from) || !/^[1-9]\d*$/.test(count)) return [];
    const last = Number(from) + Number(count) - 1;
    return [{ first: Number(from), last, who: `the containers of ${name} (${from}-${last})` }];
  });
  return [...accounts, ...ranges];
}

/** Who has users of a range: the first few, for messages. */
export function sharersOf(range: UserRange, others: readonly OthersUsers[]): readonly string[] {
  const all = others.filter((other) => overlap(range, other)).map(({ who }) => who);
  return all.length > MOST_NAMED ? [...all.slice(0, MOST_NAMED), `${all.length - MOST_NAMED} more`] : all;
}

/** How many of a range are nobody else's. */
export function ownOf({ first, last }: UserRange, others: readonly UserRange[]): number {
  let own = 0;
  let from = first;
  for (const other of others.toSorted((a, b) => a.first - b.first)) {
    own += Math.max(0, Math.min(other.first, last + 1) - from);
    from = Math.max(from, other.last + 1);
  }
  return own + Math.max(0, last + 1 - from);
}

/** The users that VMMs run as where the operator names none: the first block of which nobody has any. */
export function chooseUsers(others: readonly UserRange[]): UserRange {
  for (let first = FIRST; first + BLOCK - 1 <= LAST; first += BLOCK) {
    const block = { first, last: first + BLOCK - 1 };
    if (!others.some((other) => overlap(block, other))) return block;
  }
  return { first: FIRST, last: FIRST + BLOCK - 1 };
}

export const isIn = (user: number, ranges: readonly UserRange[]): boolean =>
  ranges.some(({ first, last }) => user >= first && user <= last);

export const overlap = (a: UserRange, b: UserRange): boolean => a.first <= b.last && a.last >= b.first;
