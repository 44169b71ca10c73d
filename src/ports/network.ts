import type { ServerTrouble } from '../domain/server-words.ts';
import type { Share } from '../domain/shares.ts';
import type { PublishedPort } from '../domain/spec.ts';

/** The host's side of one interface. Names derive from the instance. */
export interface TapIntent {
  /** At most 15 bytes. */
  readonly device: string;
  readonly bridge: string;
  /** The mark that it is ours and whose: `flintlock:<instance>:uid=<uid>`. */
  readonly alias: string;
}

export interface LeaseIntent {
  /** The directory that the DHCP server reads reservations from. */
  readonly directory: string;
  /** The file's name in it: unique for the interface. */
  readonly file: string;
  /** The bridge that the DHCP server serves. */
  readonly bridge: string;
  readonly mac: string;
  readonly address: string;
  readonly hostname: string;
  /** The guest sets the address itself and asks nobody: the server learns its name from no lease, and is told it. */
  readonly isStatic?: true;
}

export interface BridgeIntent {
  readonly bridge: string;
  readonly alias: string;
  /** The host's address on it, with the prefix: `10.77.0.1/24`. */
  readonly address: string;
}

export interface FirewallIntent {
  /** The name of the table, of family inet. */
  readonly table: string;
  readonly bridge: string;
  /** `10.77.0.0/24` */
  readonly cidr: string;
}

export interface DhcpIntent {
  /** Everything of the server lies in it: reservations, leases, pid, log. 0755: the server runs unprivileged. */
  readonly directory: string;
  readonly bridge: string;
  readonly cidr: string;
  /** The host's address: DHCP's router. */
  readonly gateway: string;
}

/** How the server fares, since it was looked at last. */
export interface ServerNews {
  readonly troubles: readonly ServerTrouble[];
  /** The DNS servers that it asks for what guests ask it. */
  readonly resolvers: readonly string[];
  /** They are others than before. */
  readonly isChanged: boolean;
  /** Why there are none: a sentence about the host's own file. */
  readonly wrong?: string;
}

/** An address that a guest has taken. */
export interface TakenLease {
  readonly mac: string;
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/**
 * The hands on bridges, taps, DHCP and the firewall, in the daemon's own
 * network namespace. Everything that adds can be done twice and everything
 * that removes succeeds when it is gone. Faults: `tool` or `timeout` with
 * reason NetworkFailed.
 */
export interface Network {
  /** It takes over the bridge's MTU, so that the bridge keeps it. */
  addTap(tap: TapIntent, signal: AbortSignal): Promise<{ readonly index: number; readonly mac: string }>;
  /**
   * For a tap that no VMM has open, before one opens it by its name: makes it anew where a VMM may take another device for
   * it, because of its number. @param now - as the host shows it
   * @returns how it is then; undefined: it is left as it is
   */
  renewTap(
    tap: TapIntent,
    now: Pick<HostInterface, 'index' | 'isPlugged'>,
    signal: AbortSignal,
  ): Promise<{ readonly index: number; readonly mac: string } | undefined>;
  /**
   * The device node of somebody else's macvtap that a VMM's process has open in the place of a tap, if there is one.
   * @param given - the nodes of its own macvtaps
   */
  strayTap(pid: number, given: readonly string[]): Promise<string | undefined>;
  removeTap(tap: TapIntent, signal: AbortSignal): Promise<void>;
  addLease(lease: LeaseIntent, signal: AbortSignal): Promise<void>;
  /** The address can be given to another MAC at once afterwards. */
  removeLease(lease: LeaseIntent, signal: AbortSignal): Promise<void>;
  addBridge(bridge: BridgeIntent, signal: AbortSignal): Promise<void>;
  removeBridge(bridge: BridgeIntent, signal: AbortSignal): Promise<void>;
  /**
   * Our own bridge's MTU becomes that of the way out, at most 1500, and that of our taps the one of their bridge.
   * @param own - the bridge of the managed network; absent: there is none
   * @returns what was changed: the device and its MTU now
   */
  fitMtus(
    own: string | undefined,
    taps: readonly TapIntent[],
    signal: AbortSignal,
  ): Promise<readonly { readonly device: string; readonly mtu: number }[]>;
  addFirewall(firewall: FirewallIntent, signal: AbortSignal): Promise<void>;
  removeFirewall(firewall: FirewallIntent, signal: AbortSignal): Promise<void>;
  /** Starts the DHCP server, or finds the one that runs already. */
  startDhcp(dhcp: DhcpIntent, signal: AbortSignal): Promise<void>;
  stopDhcp(dhcp: DhcpIntent, signal: AbortSignal): Promise<void>;
  /** Whether the DHCP server runs: looked at from time to time, it is started again if not. */
  dhcpRuns(dhcp: DhcpIntent): Promise<boolean>;
  /**
   * Keeps the server's inputs in step with the host's, and reads what it has said since the last time. Only files are
   * looked at.
   */
  serverNews(dhcp: DhcpIntent): Promise<ServerNews>;
  /** Turns IPv4 forwarding on. @returns what it was */
  forwarding(): Promise<boolean>;
  setForwarding(on: boolean): Promise<void>;
  /** What the guests have taken. */
  taken(dhcp: DhcpIntent): Promise<readonly TakenLease[]>;
  /** Calls back when that may have changed. @returns how to stop */
  onTaken(dhcp: DhcpIntent, changed: () => void): () => void;
  /** One interface of the network namespace; undefined when there is none of that name. */
  findInterface(device: string, signal: AbortSignal): Promise<HostInterface | undefined>;
  /** Every interface of the network namespace, for the audit. */
  interfaces(signal: AbortSignal): Promise<readonly HostInterface[]>;
  /** The names of every firewall table (`inet name`), for the audit. */
  tables(signal: AbortSignal): Promise<readonly string[]>;
  /** Removes an interface that the audit proved ours. Not there is success. */
  removeInterface(device: string, signal: AbortSignal): Promise<void>;
  /** Removes a firewall table (`inet name`) that the audit proved ours. Not there is success. */
  removeTable(table: string, signal: AbortSignal): Promise<void>;
}

export interface HostInterface {
  readonly device: string;
  readonly index: number;
  readonly mac: string;
  readonly alias: string;
  /** `tun`, `bridge`, `macvtap`, … or empty. */
  readonly kind: string;
  readonly master: string;
  /** Bytes of a packet; absent where it is not known. */
  readonly mtu?: number;
  /** It has a carrier: of a tap, a process has it open. */
  readonly isPlugged?: boolean;
}

/** The table that holds the guards of all ports of an instance. */
export interface GuardsIntent {
  /** The name of the table, of family bridge. */
  readonly table: string;
  /** What the names of all taps of the instance begin with: a tap without a guard passes nothing. */
  readonly prefix: string;
}

/** What one tap may send as. */
export interface GuardIntent {
  /** The name of the table, of family bridge. */
  readonly table: string;
  readonly device: string;
  readonly mac: string;
  /** Absent: the addresses are not ours to give; only the MAC is guarded. */
  readonly address?: string;
}

/** Keeps a guest from taking another's MAC or IPv4 address, from answering DHCP, and from speaking IPv6. Faults as for {@link Network}. */
export interface PortGuards {
  /** Before the first tap. Again: the guards of the taps stay. */
  addGuards(guards: GuardsIntent, signal: AbortSignal): Promise<void>;
  removeGuards(guards: GuardsIntent, signal: AbortSignal): Promise<void>;
  /** Before its tap is added: until then nothing passes. */
  addGuard(guard: GuardIntent, signal: AbortSignal): Promise<void>;
  removeGuard(guard: GuardIntent, signal: AbortSignal): Promise<void>;
}

/** The table with the ports of the host that lead to guests. */
export interface PublishingIntent {
  /** The name of the table, of family ip. */
  readonly table: string;
  readonly bridge: string;
  /** `10.77.0.0/24` */
  readonly cidr: string;
}

/** The ports of the host that lead to one interface of a guest. */
export interface PublishIntent {
  /** The name of the table, of family ip. */
  readonly table: string;
  /** The guest's. */
  readonly address: string;
  readonly ports: readonly PublishedPort[];
}

/**
 * Leads ports of the host to guests: from outside, from the host itself, its
 * loopback addresses included, and from other guests by any of the host's
 * addresses. Faults as for {@link Network}.
 */
export interface Publisher {
  /** When the bridge is there. Again: the ports stay. Lets the bridge alone route loopback addresses (`route_localnet`). */
  addPublishing(publishing: PublishingIntent, signal: AbortSignal): Promise<void>;
  /** Takes the setting back, too, where the bridge is still there. */
  removePublishing(publishing: PublishingIntent, signal: AbortSignal): Promise<void>;
  /** All at once or none. */
  addPorts(publish: PublishIntent, signal: AbortSignal): Promise<void>;
  removePorts(publish: PublishIntent, signal: AbortSignal): Promise<void>;
}

/** The way from the managed network's guests to the metadata service. */
export interface MetadataPathIntent {
  /** The name of two tables, of the families bridge and inet. */
  readonly table: string;
  /** What the names of all taps of the instance begin with. */
  readonly prefix: string;
  readonly bridge: string;
  /** The host's address on the bridge: the service listens there. */
  readonly address: string;
  /** The number of a routing table that is the instance's own. */
  readonly routes: number;
}

/** Which interfaces of one microVM are led to which port of the service. */
export interface MetadataPortIntent {
  /** As in {@link MetadataPathIntent}. */
  readonly table: string;
  /** The taps. */
  readonly devices: readonly string[];
  readonly address: string;
  /** Also the mark of the packets on their way: a number of the microVM's own, from 1 to 32767. */
  readonly port: number;
}

/** A routing rule of the host (ip-rule(8)). */
export interface HostRule {
  readonly priority: number;
  /** The number or name of the table that it leads to. */
  readonly routes: string;
  /** For messages, and to remove it: `from all to 169.254.169.254 iif flabcdbr lookup 1000001`. */
  readonly text: string;
}

/**
 * Leads guests to the metadata service by the tap that a packet came in on,
 * and keeps all others from it, the host's own users too. The host's own way
 * to 169.254.169.254 stays as it is, and no guest reaches what lies there.
 * Faults as for {@link Network}.
 */
export interface MetadataPaths {
  /** When the bridge is there. Again: the ports stay. */
  addMetadataPath(path: MetadataPathIntent, signal: AbortSignal): Promise<void>;
  removeMetadataPath(path: MetadataPathIntent, signal: AbortSignal): Promise<void>;
  addMetadataPort(port: MetadataPortIntent, signal: AbortSignal): Promise<void>;
  removeMetadataPort(port: MetadataPortIntent, signal: AbortSignal): Promise<void>;
  /** Every routing rule for IPv4, for the audit. */
  rules(signal: AbortSignal): Promise<readonly HostRule[]>;
  /** Removes the rules to a table, and the table: what the audit proved ours. */
  removeRules(routes: number, signal: AbortSignal): Promise<void>;
}

/** The tables that hold the guards of all macvtaps of an instance. */
export interface MacvtapGuardsIntent {
  /** The name of two tables, of the families netdev and inet. */
  readonly table: string;
}

/** The host's side of one interface that is on the network of a parent device. */
export interface MacvtapIntent {
  /** At most 15 bytes. */
  readonly device: string;
  /** A device of the host's: the guest is on its network, as one machine more. */
  readonly parent: string;
  /** The guest's: all that it may send as. */
  readonly mac: string;
  /** As in {@link TapIntent}. */
  readonly alias: string;
  /** As in {@link MacvtapGuardsIntent}. */
  readonly table: string;
  /** The guest's static address, all that it may send as; absent: the addresses are not ours to give. */
  readonly address?: string;
  /** Where a character device of our own is made when the host makes none, or another's has the name. */
  readonly node: string;
}

export interface MadeMacvtap {
  readonly index: number;
  readonly mac: string;
  /** The character device through which a VMM sends and receives. Not the same after it was made anew. */
  readonly node: string;
}

/** The way from macvtaps to the metadata service. */
export interface MacvtapPathIntent {
  /** As in {@link MacvtapGuardsIntent}. */
  readonly table: string;
  /** The host's own end: a sibling of the macvtaps. At most 15 bytes. */
  readonly device: string;
  readonly parent: string;
  readonly alias: string;
  /** A loopback address: the service listens there. */
  readonly address: string;
  /** The number of a routing table that is the instance's own. */
  readonly routes: number;
}

/** Which macvtap is led to which port of the service. */
export interface MacvtapPortIntent {
  /** As in {@link MacvtapGuardsIntent}. */
  readonly table: string;
  readonly device: string;
  /** The path's own device. */
  readonly service: string;
  /** The guest's: answers go there, whoever says that he has its IPv4 address. */
  readonly mac: string;
  readonly address: string;
  /** Also the mark of the packets on their way: a number of the microVM's own, from 1 to 32767. */
  readonly port: number;
}

/**
 * Interfaces of guests on the network of a device of the host's, and their way
 * to the metadata service: decided by the macvtap that a frame came in on.
 * Nothing of the parent itself is changed. Faults as for {@link Network}.
 */
export interface Macvtaps {
  /** Before the first macvtap. Again: the guards of the macvtaps stay. */
  addMacvtapGuards(guards: MacvtapGuardsIntent, signal: AbortSignal): Promise<void>;
  removeMacvtapGuards(guards: MacvtapGuardsIntent, signal: AbortSignal): Promise<void>;
  /** Guarded before anything passes. */
  addMacvtap(macvtap: MacvtapIntent, signal: AbortSignal): Promise<MadeMacvtap>;
  /** Gone with its parent is success. */
  removeMacvtap(macvtap: MacvtapIntent, signal: AbortSignal): Promise<void>;
  addMacvtapPath(path: MacvtapPathIntent, signal: AbortSignal): Promise<void>;
  removeMacvtapPath(path: MacvtapPathIntent, signal: AbortSignal): Promise<void>;
  /** When the path is there. */
  addMacvtapPort(port: MacvtapPortIntent, signal: AbortSignal): Promise<void>;
  removeMacvtapPort(port: MacvtapPortIntent, signal: AbortSignal): Promise<void>;
}

/** A socket of the host that waits for others. */
export interface Listener {
  readonly protocol: 'tcp' | 'udp';
  /** IPv4; empty: every address. */
  readonly address: string;
  readonly port: number;
  /** `nginx (pid 7)`, or empty where it is not known. */
  readonly program: string;
}

/** Who asked for more than its share within the last minute: by the tap, the address, or the port of the metadata service. */
export type OverShare = { readonly share: Share } & (
  | { readonly device: string }
  | { readonly address: string }
  | { readonly port: number }
);

/** What one guest may have of what all share is held to in the firewall: see `domain/shares.ts`. Faults as for {@link Network}. */
export interface Shares {
  /** @param tables - our tables, by family and name; what is not there is passed over */
  overShares(tables: readonly string[], signal: AbortSignal): Promise<readonly OverShare[]>;
}

/** What of the host's own network is in the way of ours. Faults as for {@link Network}. */
export interface Surroundings {
  /**
   * Whether a route of the host, other than by our own bridge, meets a network.
   * @returns the route and the remedy, as a sentence
   */
  overlaps(
    network: { readonly cidr: string; readonly bridge: string },
    signal: AbortSignal,
  ): Promise<string | undefined>;
  /**
   * The network where none was asked for: the one that our bridge has, else
   * the first of 10.77.0.0/24, 10.78.0.0/24, … 10.255.0.0/24 that no route meets.
   */
  freeCidr(bridge: string, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Whether another's firewall drops what guests send out, as Docker's does.
   * @returns the chain and the remedy, as a sentence
   */
  forwardingBlocked(bridge: string, signal: AbortSignal): Promise<string | undefined>;
  /** The host's own IPv4 addresses, as blocks: `127.0.0.0/8`, `192.0.2.1`. */
  ownAddresses(signal: AbortSignal): Promise<readonly string[]>;
  /** Who listens on IPv4. */
  listeners(signal: AbortSignal): Promise<readonly Listener[]>;
  /** Whether there is a bridge of this name. @returns what is wrong and the remedy, as a sentence */
  bridgeMissing(bridge: string, signal: AbortSignal): Promise<string | undefined>;
  /** Whether macvtaps can be made on a device of this name. @returns what is wrong and the remedy, as a sentence */
  parentUnfit(parent: string, signal: AbortSignal): Promise<string | undefined>;
}

/** A part of one of our firewall tables that is there for one microVM. */
export interface FirewallElement {
  /** `FAMILY TABLE SET ELEMENT`, `FAMILY TABLE chain NAME`; the same for what is there and for what an intent names. */
  readonly name: string;
  /** What removes it, for the hands that listed it. */
  readonly removal: string;
}

/** What single microVMs have in tables that many share, for the audit. Faults as for {@link Network}. */
export interface FirewallElements {
  /** @param isOurs - by a table's name */
  elements(isOurs: (table: string) => boolean, signal: AbortSignal): Promise<readonly FirewallElement[]>;
  /** The names of what a step puts there. */
  elementsOf(
    step:
      | { readonly kind: 'guard'; readonly intent: GuardIntent }
      | { readonly kind: 'publish'; readonly intent: PublishIntent }
      | { readonly kind: 'metadata'; readonly intent: MetadataPortIntent }
      | { readonly kind: 'macvtap-metadata'; readonly intent: MacvtapPortIntent }
      | { readonly kind: 'macvtap'; readonly intent: MacvtapIntent },
  ): readonly string[];
  /** Gone already is success. */
  removeElement(element: FirewallElement, signal: AbortSignal): Promise<void>;
  /** The routing tables that have an IPv4 route, by number or name. */
  routeTables(signal: AbortSignal): Promise<readonly string[]>;
}
