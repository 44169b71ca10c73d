import { Fault } from '../domain/fault.ts';
import { type Cidr, parseCidr } from '../domain/ipv4.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { GuestNic } from '../domain/network-config.ts';
import { guestNics } from '../domain/static-address.ts';
import type { GuestNetwork, ManagedNetwork, ParentNetwork } from '../ports/managed-network.ts';
import type { StepPorts } from './step.ts';

/** @throws Fault `tool` for what is no CIDR: it comes from the daemon's configuration, which was checked */
export function cidrOf({ cidr }: ManagedNetwork): Cidr {
  const parsed = parseCidr(cidr);
  if (parsed) return parsed;
  throw new Fault('tool', `The managed network ${cidr} is none`);
}

/** The interfaces as their guest is told of them. */
export const nicsOf = ({ managed }: Pick<StepPorts, 'managed'>, { spec, allocation }: MicroVm): readonly GuestNic[] =>
  guestNics(spec.interfaces, allocation, managed && cidrOf(managed));

type Networks = Pick<StepPorts, 'managed' | 'attached' | 'bridgeAt'>;

/** @throws Fault `refused` when the daemon was started without --parent-iface */
export function parentOf({ parent }: Pick<StepPorts, 'parent'>): ParentNetwork {
  if (parent) return parent;
  throw refused('This microVM has an interface of type MACVTAP: start flintlockd with --parent-iface IFACE');
}

/** @throws Fault `refused` when the daemon was started without a network of its own */
export function managedOf({ managed }: Pick<StepPorts, 'managed'>): ManagedNetwork {
  if (managed) return managed;
  throw refused('This microVM has an address of the managed network: start flintlockd with --managed-network CIDR');
}

/** @throws Fault `refused` when the daemon was started without --bridge-name */
function attachedOf({ attached }: Networks): GuestNetwork {
  if (attached) return attached;
  throw refused(
    "This microVM was made for a bridge that is not the daemon's: start flintlockd with --bridge-name BRIDGE",
  );
}

/** Where one interface belongs: who has an address of the managed network is plugged nowhere else, and nobody else there. */
export function networkOf(networks: Networks, { spec, allocation }: MicroVm, nic: string): GuestNetwork {
  const { bridge } = spec.interfaces.find(({ name }) => name === nic) ?? {};
  if (bridge !== undefined) return networks.bridgeAt(bridge);
  return allocation.interfaces[nic]?.address === undefined ? attachedOf(networks) : managedOf(networks);
}

/** @throws Fault `refused` when the daemon was started for another bridge */
export function networkWith(networks: Networks, { spec }: MicroVm, bridge: string): GuestNetwork {
  if (spec.interfaces.some((nic) => nic.bridge === bridge)) return networks.bridgeAt(bridge);
  const found = [networks.managed, networks.attached].find((network) => network?.bridge === bridge);
  if (found) return found;
  throw refused(`This microVM belongs on bridge ${bridge}: start flintlockd as it was when it was created`);
}

const refused = (message: string): Fault => new Fault('refused', message, { reason: 'NetworkFailed', terminal: false });
