/** Users by number, the last one included. */
export interface UserRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Who of a host has users of a range for something else: its accounts, and what they may use in containers of their own.
 *
 * @param passwd - /etc/passwd
 * @param subuid - /etc/subuid
 * @returns for messages, the first few
 * @see passwd(5), subuid(5)
 */
export function sharersOf({ first, last }: UserRange, passwd: string, subuid: string): readonly string[] {
  const isWithin = (from: number, to: number): boolean => from <= last && to >= first;
  const accounts = passwd.split('\n').flatMap((line) => {
    const [name, , uid = ''] = line.split(':');
    return /^\d+$/.test(uid) && isWithin(Number(uid), Number(uid)) ? [`the account ${name} (${uid})`] : [];
  });
  const ranges = subuid.split('\n').flatMap((line) => {
    const [name, from = '', count = ''] = line.split(':');
    if (!/^\d+$/.test(from) || !/^[1-9]\d*$/.test(count)) return [];
    const to = Number(from) + Number(count) - 1;
    return isWithin(Number(from), to) ? [`the containers of ${name} (${from}-${to})`] : [];
  });
  const all = [...accounts, ...ranges];
  return all.length > MOST ? [...all.slice(0, MOST), `${all.length - MOST} more`] : all;
}

const MOST = 3;
