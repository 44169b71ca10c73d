import type { Network } from '../ports/network.ts';
import { guard, plain } from './failure.ts';
import type { Ip, Link, Route } from './ip.ts';

/** Ethernet's; guests of a network that is routed need no more, whatever the way out could carry. */
const MOST = 1_500;
/** What every host must take (RFC 791, 3.2); a way out that carries less is not the guests' to know. */
const LEAST = 576;
/** The ways out: the default route, or the two halves of it that VPNs set. */
const EVERYWHERE: readonly string[] = ['default', '0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1'];

/**
 * What a packet of a guest may measure on its way out: the least of all ways
 * that there are, since rules of the host may choose any of them.
 *
 * @param own - the guests' own bridge
 */
export function wayOut(routes: readonly Route[], links: readonly Link[], own: string): number {
  const ways = routes.filter(({ destination, device }) => EVERYWHERE.includes(destination) && device !== own);
  const mtus = ways.flatMap(({ device, mtu }) => [mtu, links.find((link) => link.device === device)?.mtu]);
  return Math.max(LEAST, Math.min(MOST, ...mtus.filter((mtu) => mtu !== undefined)));
}

/** Keeps the MTUs of our own devices in step with what of the host they belong to. */
export function createMtus(ip: Ip): Pick<Network, 'fitMtus'> {
  return {
    fitMtus: (own, taps, signal) =>
      guard('compare the MTUs', async () => {
        const links = await ip.all(signal);
        const find = (device: string): Link | undefined => links.find((link) => link.device === device);
        const wanted = new Map<string, number>();
        const bridge = own === undefined ? undefined : find(own);
        if (bridge) wanted.set(bridge.device, wayOut(await ip.routes(signal), links, bridge.device));
        for (const tap of taps) {
          const there = find(tap.device);
          const mtu = wanted.get(tap.bridge) ?? find(tap.bridge)?.mtu;
          if (there?.master === tap.bridge && there.alias === tap.alias && mtu !== undefined)
            wanted.set(tap.device, mtu);
        }
        const changed = [...wanted].flatMap(([device, mtu]) => (find(device)?.mtu === mtu ? [] : { device, mtu }));
        const commands = changed.map(({ device, mtu }) => `link set dev ${plain('interface', device)} mtu ${mtu}`);
        if (commands.length > 0) await ip.batch(commands, signal);
        return changed;
      }),
  };
}
