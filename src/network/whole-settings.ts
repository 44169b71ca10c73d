import type { Flaw } from '../ports/network-watch.ts';
import type { Sysctl } from './sysctl.ts';

/** A setting of the kernel on which guests depend. */
interface WantedSetting {
  /** A path below /proc/sys. */
  readonly name: string;
  readonly isRight: (value: string) => boolean;
  /** What it is set to where it is not right. */
  readonly value: string;
  /** The whole host's: it is told, and left. */
  readonly isOthers?: true;
  /** The end of a sentence. */
  readonly why: string;
}

const exactly = (name: string, value: string, why: string): WantedSetting => ({
  ...{ name, value, why },
  isRight: (found) => found === value,
});

/** As the kernel answers on its own; 1 and 2 answer guests too. @see https://docs.kernel.org/networking/ip-sysctl.html */
const answersArp = (interfaceName: string): WantedSetting => ({
  ...{ name: `net/ipv4/conf/${interfaceName}/arp_ignore`, value: '0' },
  ...{ isRight: (found) => Number(found) <= 2, why: 'guests do not find the host' },
});

export interface SettingsOf {
  /** The daemon's own, that is there: with another all of them are set anew. */
  readonly bridge?: string;
  readonly forwards: boolean;
  readonly publishes: boolean;
}

/** What is ours, and an operator may have set on purpose, is told and set right. */
export async function settingFlaws(
  { bridge, forwards, publishes }: SettingsOf,
  sysctl: Sysctl,
  signal: AbortSignal,
): Promise<Flaw[]> {
  const unreachable = 'guests reach nothing beyond the host';
  const wanted: readonly WantedSetting[] = [
    ...(forwards ? [exactly('net/ipv4/ip_forward', '1', unreachable)] : []),
    ...(bridge === undefined
      ? []
      : [
          exactly(`net/ipv4/conf/${bridge}/forwarding`, '1', unreachable),
          exactly(`net/ipv6/conf/${bridge}/disable_ipv6`, '1', 'a guest could give the host a route'),
          // The greater of the two is in force.
          answersArp(bridge),
          { ...answersArp('all'), isOthers: true as const },
        ]),
    ...(bridge !== undefined && publishes
      ? [exactly(`net/ipv4/conf/${bridge}/route_localnet`, '1', 'published ports do not answer on loopback addresses')]
      : []),
  ];
  const values = await sysctl.readAll(
    wanted.map(({ name }) => name),
    signal,
  );
  return wanted.flatMap(({ name, isRight, value, why, isOthers }, i): Flaw[] => {
    const found = values[i];
    if (found === undefined || isRight(found)) return [];
    const told = { thing: `setting ${name}`, what: `${name} is ${found}, not ${value}: ${why}` };
    if (isOthers) return [{ ...told, isLasting: true }];
    return [{ ...told, isChoice: true, mend: (limited) => sysctl.write(name, value, limited) }];
  });
}
