import { createHash } from 'node:crypto';
import type { Files } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';
import type { BridgeIntent, Network, TapIntent } from '../ports/network.ts';
import { failed, guard, plain } from './failure.ts';
import type { Ip, Link } from './ip.ts';
import { parseLinks } from './ip.ts';
import { WITH_NEXT } from './living-forms.ts';
import { wayOut } from './mtu.ts';
import type { Sysctl } from './sysctl.ts';

type Links = Pick<Network, 'addTap' | 'renewTap' | 'removeTap' | 'addBridge' | 'removeBridge'>;

/** A stranger has some macvtaps; that of each number in a row would be a host with thousands. */
const TRIES = 100;

export interface LinksHands {
  readonly ip: Ip;
  readonly sysctl: Sysctl;
  readonly files: Pick<Files, 'stat'>;
  readonly log: Log;
}

/** Taps and bridges, each with the mark that it is ours. */
export function createLinks({ ip, sysctl, files, log }: LinksHands): Links {
  /**
   * Where a macvtap of any network namespace has this number, its device node is `/dev/tapN` for all of them: QEMU (since 9)
   * opens that first when it is told a tap's name, and the guest would be on a stranger's network.
   *
   * @see https://gitlab.com/qemu-project/qemu/-/blob/v10.0.0/net/tap-linux.c `tap_open`
   */
  const isTaken = async (index: number): Promise<boolean> => (await files.stat(`/dev/tap${index}`)) !== undefined;

  const links: Links = {
    addTap: ({ device, bridge, alias }, signal) =>
      guard(`add tap ${device} to bridge ${bridge}`, async () => {
        const [name, plug, mark] = [plain('interface', device), plain('bridge', bridge), plain('alias', alias)];
        const found = await ip.find(plug, signal);
        // Before it is plugged in: a bridge falls to the least MTU of its ports.
        const mtu = found?.mtu === undefined ? '' : ` mtu ${found.mtu}`;
        const dress = [
          // Without an IPv6 address of its own the host says nothing on the tap.
          `link set dev ${name}${mtu} alias ${mark} addrgenmode none master ${plug} up${WITH_NEXT}`,
          // A guest that speaks for the spanning tree of a bridge that has one is cut off, as at a switch. No firewall sees it.
          `link set dev ${name} type bridge_slave guard on${WITH_NEXT}`,
          `link show dev ${name}`,
        ];
        // Only when it is new: what is there has one that stands in the ledger.
        const create = [
          `tuntap add dev ${name} mode tap`,
          `link set dev ${name} address ${tapMac(device)}${WITH_NEXT}`,
          ...dress,
        ];
        for (let tries = 1; ; tries++) {
          let isNew = true;
          const shown = await ip.batch(create, signal).catch(async (error: unknown) => {
            const there = signal.aborted ? undefined : await ip.find(name, signal);
            if (!there) throw error;
            refuseForeignTap(there, { device, bridge, alias });
            isNew = false;
            return ip.batch(dress, signal); // a second time, or the rest of a first one that was cut off
          });
          const [link] = parseLinks(shown);
          if (!link) throw failed(`Cannot add tap ${device}: ip does not show it`);
          if (!isNew || tries === TRIES || !(await isTaken(link.index))) return { index: link.index, mac: link.mac };
          await ip.remove(device, signal); // the next one has the next number
        }
      }),

    renewTap: async (tap, { index, isPlugged }, signal) => {
      if (isPlugged || !(await isTaken(index))) return undefined;
      log.info('a tap is made anew: a macvtap of another network namespace has its number', {
        device: tap.device,
        index,
      });
      await links.removeTap(tap, signal);
      return links.addTap(tap, signal);
    },

    removeTap: (tap, signal) =>
      guard(`remove tap ${tap.device}`, async () => {
        const there = await ip.find(plain('interface', tap.device), signal);
        if (!there) return;
        refuseForeignTap(there, tap);
        await ip.remove(tap.device, signal);
      }),

    addBridge: ({ bridge, alias, address }, signal) =>
      guard(`add bridge ${bridge} with ${address}`, async () => {
        const name = plain('bridge', bridge);
        const there = await ip.find(name, signal);
        if (there) refuseForeignBridge(there, { bridge, alias, address });
        const mtu = wayOut(await ip.routes(signal), await ip.all(signal), name);
        await ip.batch(
          [
            ...(there ? [] : [`link add name ${name} type bridge`]),
            // A MAC of its own stays: else it is the lowest of its ports', and guests' ARP entries break as these come and go.
            `link set dev ${name} alias ${plain('alias', alias)} address ${bridgeMac(bridge)} addrgenmode none`,
            // In this order: with spanning tree on, the kernel refuses no delay.
            `link set dev ${name} mtu ${mtu} type bridge stp_state 0`,
            `link set dev ${name} type bridge forward_delay 0`,
            ...(there?.addresses ?? [])
              .filter((old) => old !== address)
              .map((old) => `address delete ${old} dev ${name}`),
            `address replace ${plain('address', address)} dev ${name}`,
            `link set dev ${name} up`,
          ],
          signal,
        );
        // Else a guest's router advertisement would give the host a default route.
        try {
          await sysctl.write(`net/ipv6/conf/${name}/disable_ipv6`, '1', signal);
        } catch (error) {
          signal.throwIfAborted();
          log.warn('cannot turn IPv6 off on the bridge; the firewall drops it all the same', { bridge, error });
        }
      }),

    removeBridge: (intent, signal) =>
      guard(`remove bridge ${intent.bridge}`, async () => {
        const there = await ip.find(plain('bridge', intent.bridge), signal);
        if (!there) return;
        refuseForeignBridge(there, intent);
        await ip.remove(intent.bridge, signal);
      }),
  };
  return links;
}

// The name is the instance's own, and the intent was written first: a device
// of the right kind without any mark is ours, made by a process that was ended
// before it could set the mark.
function refuseForeignTap(there: Link, tap: TapIntent): void {
  if (there.kind !== 'tun') throw foreign(there, tap.alias);
  if (there.alias !== tap.alias && there.alias !== '') throw foreign(there, tap.alias);
}

function refuseForeignBridge(there: Link, intent: BridgeIntent): void {
  if (there.kind !== 'bridge') throw foreign(there, intent.alias);
  if (there.alias !== intent.alias && there.alias !== '') throw foreign(there, intent.alias);
}

const foreign = (there: Link, ours: string): Error =>
  failed(
    `Interface ${there.device} is there and is not ours: its kind is ${there.kind || 'unknown'} and its alias ` +
      `${there.alias ? JSON.stringify(there.alias) : 'empty'}, ours would be ${JSON.stringify(ours)}. ` +
      `Rename or remove it: ip link delete dev ${there.device}`,
  );

/** Locally administered, unicast (IEEE 802: bits 1 and 0 of the first byte), the same for the same name. */
export const bridgeMac = (bridge: string): string => macOf(bridge, (byte) => (byte & 0xfc) | 0x02);

/**
 * Of the host's side of a tap. The highest first byte that there is: a bridge without an address that somebody gave it has
 * the least of its ports', and must not change its own when a guest comes. One that was given is also left alone by udev.
 *
 * @see systemd.link(5), MACAddressPolicy=persistent
 */
const tapMac = (device: string): string => macOf(device, () => 0xfe);

function macOf(name: string, first: (byte: number) => number): string {
  const bytes = createHash('sha256').update(name).digest().subarray(0, 6);
  return [...bytes].map((byte, i) => (i === 0 ? first(byte) : byte).toString(16).padStart(2, '0')).join(':');
}
