import type { Uid } from './microvm.ts';

/** What every name on the host begins with. Several daemons on one host do not meet: theirs differ. */
export interface Names {
  /** Four lower-case base32 letters or digits, from the state directory's path. */
  readonly instance: string;
  /** Absolute. */
  readonly stateDirectory: string;
  /** Absolute and short: a socket's path has at most 107 bytes (unix(7)). */
  readonly runDirectory: string;
}

/** An interface name has at most 15 bytes (IFNAMSIZ, netdevice(7)). */
export const interfacePrefix = (names: Pick<Names, 'instance'>): string => `fl${names.instance}`;
export const bridgeName = (names: Pick<Names, 'instance'>): string => `${interfacePrefix(names)}br`;
export const tapName = (names: Names, uid: Uid, index: number): string =>
  `${interfacePrefix(names)}${tapStem(uid)}${index.toString(32)}`;
/**
 * What the names of a microVM's interfaces have of its uid: the last six characters of a ULID are random, 30 bits. Two uids
 * may agree in them, so that the store gives a stem to one microVM at a time.
 */
export const tapStem = (uid: Uid): string => uid.slice(-6).toLowerCase();

/** Interfaces of ours carry it as alias, at most 255 bytes: it survives a rename. */
export const aliasPrefix = (names: Names): string => `flintlock:${names.instance}:`;
export const aliasOf = (names: Names, owner: string): string => `${aliasPrefix(names)}uid=${owner}`;

/** The firewall's table, of family inet. */
export const tableName = (names: Names): string => `flintlock_${names.instance}`;

/** Two tables that are there while the ways of guests are tried. */
export const probeTableName = (names: Names): string => `${tableName(names)}_probe`;
/** The host's side of what tries them. */
export const probeName = (names: Names): string => `${interfacePrefix(names)}probe`;

/** Two more tables, of the families bridge and inet. */
export const metadataTableName = (names: Names): string => `${tableName(names)}_metadata`;
/** A routing table of the instance's own, above what administrators and others number. */
export const routingTable = (names: Names): number => 1_000_000 + numberOf(names);

/** Two tables for macvtaps, of the families netdev and inet. */
export const macvtapTableName = (names: Names): string => `${tableName(names)}_macvtap`;
/** The host's own end beside the macvtaps on their parent, which leads to the metadata service. */
export const macvtapServiceName = (names: Names): string => `${interfacePrefix(names)}md`;
/** A second routing table of the instance's own: see {@link routingTable}. */
export const macvtapRoutingTable = (names: Names): number => 3_000_000 + numberOf(names);
/** Where metadata is served to macvtaps: a loopback address of the instance's own, from 127.64.0.1 to 127.127.255.127. */
export function macvtapServiceAddress(names: Names): string {
  const number = numberOf(names);
  return `127.${64 + (number >> 14)}.${(number >> 6) & 0xff}.${(number & 0x3f) * 2 + 1}`;
}

/** The instance's four letters or digits, base 32: 20 bits. */
const numberOf = ({ instance }: Names): number =>
  Number.parseInt([...instance].map((char) => BASE32.indexOf(char).toString(32)).join(''), 32);
/** Of the instance's name (RFC 4648). */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** The cgroup that holds one for each microVM, in every hierarchy. */
export const cgroupName = (names: Pick<Names, 'instance'>): string => `flintlock-${names.instance}`;

export const vmStateRoot = (names: Names): string => `${names.stateDirectory}/vm`;
export const vmRunRoot = (names: Names): string => `${names.runDirectory}/vm`;
export const vmStateDirectory = (names: Names, uid: Uid): string => `${vmStateRoot(names)}/${uid}`;
export const vmRunDirectory = (names: Names, uid: Uid): string => `${vmRunRoot(names)}/${uid}`;
/** The socket by which programs of the host speak to a guest's agent, in a directory of its own that they may go through. */
export const agentSocketDirectory = (names: Pick<Names, 'runDirectory'>, uid: Uid): string =>
  `${names.runDirectory}/${uid}`;
/** Undefined where the run-time directory leaves it no room: unix(7). */
export function agentSocketPath(names: Pick<Names, 'runDirectory'>, uid: Uid): string | undefined {
  const path = `${agentSocketDirectory(names, uid)}/guest-agent.vsock`;
  return new TextEncoder().encode(path).length <= 107 ? path : undefined;
}
export const imagesDirectory = (names: Names): string => `${names.stateDirectory}/images`;
export const networkDirectory = (names: Names): string => `${names.runDirectory}/network`;
/** What was found of the ways of guests, for `flintlock doctor`. */
export const waysPath = (names: Names): string => `${networkDirectory(names)}/ways.json`;
export const databasePath = (names: Names): string => `${names.stateDirectory}/flintlock.db`;
export const lockPath = (names: Names): string => `${names.stateDirectory}/lock.db`;
export const socketPath = (names: Names): string => `${names.runDirectory}/api.sock`;

/** Room for `/vm/<26 characters>/console.sock` within 107 bytes. */
export const MAX_RUN_DIRECTORY = 107 - '/vm/'.length - 26 - '/console.sock'.length;
