import { Fault } from '../domain/fault.ts';
import type { ManagedNetwork } from '../ports/managed-network.ts';
import type { StepPorts } from './step.ts';

/** @throws Fault `refused` when the daemon was started without a network of its own */
export function managedOf({ managed }: StepPorts): ManagedNetwork {
  if (managed) return managed;
  throw new Fault(
    'refused',
    'A TAP interface needs a network of the daemon: start flintlockd with --managed-network CIDR',
    { reason: 'NetworkFailed', terminal: false },
  );
}
