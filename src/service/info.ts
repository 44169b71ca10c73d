import { formatCidr } from '../domain/ipv4.ts';
import type { ServiceContext } from './context.ts';
import type { Resources, ServerInfo } from './services.ts';

/** What this daemon is, can do and has promised. */
export async function info(context: ServiceContext): Promise<ServerInfo> {
  const { store, network } = context;
  const vms = store.list({});
  const promised = vms
    .filter(({ state }) => state.is !== 'STOPPED' && state.is !== 'FAILED')
    .reduce<Resources>(
      (sum, { spec, made }) => ({
        vcpu: sum.vcpu + spec.vcpu,
        memoryInMb: sum.memoryInMb + spec.memoryInMb,
        diskInMb: sum.diskInMb + Object.values(made.volumes).reduce((mb, v) => mb + v.sizeInMb, 0),
      }),
      { vcpu: 0, memoryInMb: 0, diskInMb: 0 },
    );
  return {
    version: context.version,
    instance: context.instance,
    providers: await Promise.all(context.vmms.map((vmm) => context.vmmInfo(vmm))),
    defaultProvider: context.defaultVmm.name,
    ...(await context.capacity()),
    promised,
    managedNetwork: network ? formatCidr(network) : '',
    volumeCopy: context.volumes.kind,
    reconciling: context.isReconciling(),
    microvms: vms.length,
    demoKernel: context.demoKernel,
  };
}
