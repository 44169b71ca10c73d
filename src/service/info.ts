import { limitsOf } from '../domain/admission.ts';
import { formatCidr } from '../domain/ipv4.ts';
import { cordonOf } from './cordon.ts';
import type { Needs, NeedsOf } from './needs.ts';
import type { ServerInfo } from './services.ts';
import { usableDefault } from './usable-default.ts';

type InfoNeeds = Needs<'version' | 'instance' | 'stateDirectory' | 'runDirectory' | 'isReconciling' | 'demoKernel'> &
  NeedsOf<'store', 'promised' | 'recall'> &
  NeedsOf<'tools', 'states'> &
  NeedsOf<'volumes', 'kindFor'> &
  Needs<'vmms' | 'defaultVmms' | 'network' | 'limits' | 'capacity'>;

/** What this daemon is, can do and has promised. */
export async function info(needs: InfoNeeds): Promise<ServerInfo> {
  const { store, network } = needs;
  const { microvms, ...promised } = store.promised();
  const cordon = cordonOf(store);
  const { capacity, used, notes } = await needs.capacity();
  const byDefault = await usableDefault(needs);
  return {
    version: needs.version,
    instance: needs.instance,
    stateDirectory: needs.stateDirectory,
    runDirectory: needs.runDirectory,
    tools: await needs.tools.states(),
    providers: await Promise.all(needs.vmms.map((vmm) => vmm.info())),
    defaultProvider: byDefault.name,
    capacity,
    capacityNotes: notes,
    promised,
    used,
    limits: limitsOf(needs.limits, capacity),
    managedNetwork: network ? formatCidr(network) : '',
    volumeCopy: needs.volumes.kindFor(byDefault.capabilities.diskFormats),
    reconciling: needs.isReconciling(),
    ...(cordon && { cordon }),
    microvms,
    demoKernel: needs.demoKernel,
  };
}
