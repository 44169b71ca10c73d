import { limitsOf } from '../domain/admission.ts';
import { formatCidr } from '../domain/ipv4.ts';
import type { ServiceContext } from './context.ts';
import { cordonOf } from './cordon.ts';
import type { ServerInfo } from './services.ts';

/** What this daemon is, can do and has promised. */
export async function info(context: ServiceContext): Promise<ServerInfo> {
  const { store, network } = context;
  const [byDefault] = context.defaultVmms;
  const { microvms, ...promised } = store.promised();
  const cordon = cordonOf(store);
  const { capacity, used, notes } = await context.capacity();
  return {
    version: context.version,
    instance: context.instance,
    stateDirectory: context.stateDirectory,
    runDirectory: context.runDirectory,
    tools: await context.tools.states(),
    providers: await Promise.all(context.vmms.map((vmm) => context.vmmInfo(vmm))),
    defaultProvider: byDefault.name,
    capacity,
    capacityNotes: notes,
    promised,
    used,
    limits: limitsOf(context.limits, capacity),
    managedNetwork: network ? formatCidr(network) : '',
    volumeCopy: context.volumes.kindFor(byDefault.capabilities.diskFormats),
    reconciling: context.isReconciling(),
    ...(cordon && { cordon }),
    microvms,
    demoKernel: context.demoKernel,
  };
}
