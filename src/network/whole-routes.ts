import { type JsonObject, objectOf, objectsIn, textOf } from '../base/json.ts';
import { Fault } from '../domain/fault.ts';
import { formatCidr, networkWith } from '../domain/ipv4.ts';
import type { BridgeIntent } from '../ports/network.ts';
import type { Flaw } from '../ports/network-watch.ts';
import type { Ip } from './ip.ts';
import { printedBy } from './printed.ts';

export interface RoutedGuest {
  readonly address: string;
  /** The uid of its microVM. */
  readonly owner: string;
}

/** Each refused look-up costs one more: a host that refuses them all is told of by these. */
const REFUSED_MOST = 4;

/**
 * Whether packets get to guests and from them to the host, as the kernel itself answers: a route or a routing rule of
 * somebody else's may come before ours. Changes of routes are not told (see `news.ts`), so this is asked at each look.
 *
 * @param services - what the host serves to guests, by address
 */
export async function bridgeRouteFlaws(
  { bridge, address }: BridgeIntent,
  guests: readonly RoutedGuest[],
  services: readonly string[],
  ip: Ip,
  signal: AbortSignal,
): Promise<Flaw[]> {
  const [gateway = ''] = address.split('/');
  const own = await ownRouteFlaws({ bridge, address }, gateway, ip, signal);
  if (own.length > 0) return own; // no look-up can say more
  const [first] = guests;
  const asked: readonly Asked[] = [
    ...guests.map((guest) => ({
      ...{ command: `route get ${guest.address}`, isRight: (row: Row) => row.dev === bridge, owner: guest.owner },
      ...{ thing: `route to ${guest.address}`, what: `what the host sends to ${guest.address}` },
    })),
    ...(first ? [gateway, ...services] : []).map((service) => ({
      ...{ command: `route get ${service} from ${first?.address} iif ${bridge}` },
      ...{ isRight: (row: Row) => row.type === 'local' },
      ...{ thing: `route from ${bridge} to ${service}`, what: `what guests send to the host's ${service}` },
    })),
  ];
  return lookUp(asked, ip, signal);
}

type Row = JsonObject;

interface Asked {
  readonly command: string;
  readonly isRight: (row: Row) => boolean;
  readonly thing: string;
  /** The beginning of a clause. */
  readonly what: string;
  readonly owner?: string;
}

/** Those that the kernel makes with the address. */
async function ownRouteFlaws(
  { bridge, address }: Pick<BridgeIntent, 'bridge' | 'address'>,
  gateway: string,
  ip: Ip,
  signal: AbortSignal,
): Promise<Flaw[]> {
  const cidr = formatCidr(networkWith(gateway, Number(address.split('/')[1])));
  const rows = objectsIn(printedBy('ip', await ip.show([`route show table all dev ${bridge}`], signal)));
  const isThere = (type: string, destination: string): boolean =>
    rows.some((row) => (textOf(row.type) || 'unicast') === type && textOf(row.dst) === destination);
  const gone = (what: string, command: string): Flaw => ({
    ...{ thing: `route ${what}`, what: `the route ${what} is gone` },
    mend: async (limited) => {
      await ip.batch([command], limited);
    },
  });
  return [
    ...(isThere('unicast', cidr)
      ? []
      : [gone(`${cidr} dev ${bridge}`, `route replace ${cidr} dev ${bridge} proto kernel scope link src ${gateway}`)]),
    ...(isThere('local', gateway)
      ? []
      : [
          gone(
            `local ${gateway} dev ${bridge}`,
            `route replace local ${gateway} dev ${bridge} table local proto kernel scope host src ${gateway}`,
          ),
        ]),
  ];
}

async function lookUp(asked: readonly Asked[], ip: Ip, signal: AbortSignal): Promise<Flaw[]> {
  const flaws: Flaw[] = [];
  const wrong = ({ thing, what, owner }: Asked, how: string): void => {
    flaws.push({ ...{ thing, what: `${what} ${how}`, isLasting: true }, ...(owner === undefined ? {} : { owner }) });
  };
  let left = asked;
  while (left.length > 0 && flaws.length < REFUSED_MOST) {
    const { shown, refused } = await ask(left, ip, signal);
    for (const [i, one] of left.slice(0, shown.length).entries()) {
      const row = shown[i] ?? {};
      if (!one.isRight(row)) wrong(one, `goes to ${textOf(row.dev) || 'nowhere'}, by a route or rule that is not ours`);
    }
    const one = refused && left[refused.at];
    if (!one) break;
    wrong(one, `is refused by a route or rule that is not ours (${refused.words})`);
    left = left.slice(refused.at + 1);
  }
  return flaws;
}

/** `ip` ends at the first one that is refused, and says which that was. */
async function ask(
  asked: readonly Asked[],
  ip: Ip,
  signal: AbortSignal,
): Promise<{ readonly shown: readonly Row[]; readonly refused?: { readonly at: number; readonly words: string } }> {
  const show = async (some: readonly Asked[]): Promise<readonly Row[]> => {
    if (some.length === 0) return [];
    const told = await ip.show(
      some.map(({ command }) => command),
      signal,
    );
    return told
      .split('\n')
      .flatMap((line) => (line.trim() === '' ? [] : [objectOf(objectsIn(printedBy('ip', line))[0])]));
  };
  try {
    return { shown: await show(asked) };
  } catch (error) {
    const [, words = '', number] =
      (error instanceof Fault && /RTNETLINK answers: (.*?)\s*Command failed -:(\d+)/s.exec(error.message)) || [];
    if (number === undefined) throw error;
    const at = Number(number) - 1;
    return { shown: await show(asked.slice(0, at)), refused: { at, words } };
  }
}
