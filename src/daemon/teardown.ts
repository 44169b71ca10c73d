import { Fault } from '../domain/fault.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import { sweepGuestSockets } from '../engine/guest-sockets.ts';
import { teardownNetwork } from '../engine/host-step.ts';
import { orphanTables } from '../engine/orphans.ts';
import { files } from '../host/files.ts';
import type { Opened } from './open.ts';

/**
 * Removes what outlives the daemon: the managed network, and firewall tables of one whose daemon is gone for good.
 * @returns how many things were removed
 * @throws Fault `refused` while there are microVMs
 */
export async function teardown({ names, store, ledger, network, acts }: Opened, signal: AbortSignal): Promise<number> {
  const count = store.count();
  if (count > 0)
    throw new Fault(
      'refused',
      `Cannot remove the network: ${count} microVMs are still there; start flintlockd, delete them, and try again`,
    );
  const before = ledger.of(HOST_OWNER).length;
  await sweepGuestSockets({ names, files });
  await teardownNetwork({ ledger, network, acts }, signal);
  const orphans = await orphanTables(network, names, signal);
  for (const { table } of orphans) await network.removeTable(table, signal);
  return before + orphans.length;
}
