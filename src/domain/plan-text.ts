import type { VmStep } from './ledger.ts';
import type { Planned } from './plan.ts';
import { publishedText } from './published.ts';

/** What a step will do, in one readable line: `volume root: make a disk from oci:/images:root`. */
export function stepText(step: VmStep, vm: Planned): string {
  const of = step.kind === 'image' || step.key === '' ? '' : ` ${step.key}`;
  return `${step.kind}${of}: ${whatOf(step, vm)}`;
}

function whatOf(step: VmStep, { spec }: Planned): string {
  const nicOf = (name: string) => spec.interfaces.find((one) => one.name === name);
  switch (step.kind) {
    case 'image':
      return `hold ${step.reference} for ${step.wants.join(', ')}; pull it unless it is in the cache`;
    case 'directory':
      return 'make directories for state and for sockets';
    case 'volume': {
      const volume = spec.volumes.find(({ id }) => id === step.id);
      const size = volume?.sizeInMb === undefined ? '' : ` of ${volume.sizeInMb} MiB`;
      return `make a ${volume?.isReadOnly ? 'read-only' : 'writable'} disk${size} from ${volume?.image ?? 'its image'}`;
    }
    case 'cidata':
      return 'make a disk with the metadata, for cloud-init';
    case 'lease':
      return `reserve ${nicOf(step.nic)?.address ?? 'an address'} in DHCP`;
    case 'guard':
      return 'let nothing through but what comes from its own MAC and address';
    case 'tap':
    case 'macvtap':
      return 'make the device on the host';
    case 'publish':
      return (nicOf(step.nic)?.publishedPorts ?? [])
        .map((port) => `lead ${publishedText(port)} to port ${port.guestPort}`)
        .join(', ');
    case 'metadata':
    case 'macvtap-metadata':
      return 'serve its metadata at 169.254.169.254';
    case 'vmm':
      return `start ${spec.provider || "the daemon's default VMM"} with vcpu ${spec.vcpu}, memory ${spec.memoryInMb} MiB`;
    default:
      return step satisfies never;
  }
}
