import { type Cidr, formatCidr, gatewayOf, probeAddressOf } from '../domain/ipv4.ts';
import {
  bridgeName,
  metadataTableName,
  type Names,
  networkDirectory,
  probeName,
  probeTableName,
  tableName,
} from '../domain/names.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { ProbeIntent } from '../ports/network-probe.ts';

/** Below those of microVMs, see `domain/next-number.ts`, and of no other use. Also the mark of its packets. */
const METADATA_PORT = 19_998;
const PUBLISHED_PORT = 19_997;

/**
 * What stands on the host for who tries the ways of guests: a guest's own
 * things, with the last address of the network.
 *
 * @returns undefined where that is another's, or the network is too small to keep one
 */
export function probeIntent({
  names,
  cidr,
  ledger,
}: {
  readonly names: Names;
  readonly cidr: Cidr;
  readonly ledger: Ledger;
}): ProbeIntent | undefined {
  const address = probeAddressOf(cidr);
  const isTaken = ledger.ofKind('lease').some(({ intent }) => intent.address === address);
  if (address === undefined || isTaken) return undefined;
  const [bridge, device, gateway] = [bridgeName(names), probeName(names), gatewayOf(cidr)];
  const mac = `02:${[...names.instance].map((c) => c.charCodeAt(0).toString(16)).join(':')}:fe`;
  const ports = [{ hostPort: PUBLISHED_PORT, guestPort: 80, protocol: 'tcp', hostIp: gateway }] as const;
  return {
    ...{ bridge, device, gateway, table: probeTableName(names), cidr: formatCidr(cidr) },
    lease: { directory: networkDirectory(names), file: 'probe', bridge, mac, address, hostname: '' },
    guard: { table: tableName(names), device, mac, address },
    metadata: { table: metadataTableName(names), devices: [device], address: gateway, port: METADATA_PORT },
    publish: { table: tableName(names), address, ports },
  };
}
