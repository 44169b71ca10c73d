import { dirname } from 'node:path';
import { TimeLimit } from '../../base/time-limit.ts';
import { CONSOLE_TAIL_BYTES } from '../../domain/console-sizes.ts';
import { Fault } from '../../domain/fault.ts';
import type { MicroVm, Uid } from '../../domain/microvm.ts';
import { cgroupName, vmRunDirectory, vmStateDirectory } from '../../domain/names.ts';
import { providerOf } from '../../domain/provider-of.ts';
import { SharedConsoles } from '../../engine/shared-consoles.ts';
import { createCgroups } from '../../host/cgroups.ts';
import { clock } from '../../host/clock.ts';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import { limitsInForce } from '../../host/limits-in-force.ts';
import type { AgentWay } from '../../ports/guest-agent.ts';
import { FIRST_THERE_WAS, PROVIDERS } from '../../vmm/registry.ts';
import { Starts } from '../../vmm/supervisor/starts.ts';
import { capacityOf } from '../capacity.ts';
import { usersOf } from '../vmm-users.ts';
import { vmmsBy } from '../vmms-by.ts';
import type { Parts } from './parts.ts';

/** A VMM's socket on this host takes a connection at once. */
const CONSOLE_OPEN_MS = 5_000;

/** The VMMs of all providers, what they run as and within, and the consoles of their guests. */
export async function buildVmms({ config, opened, log, metrics, run, processes, ending }: Parts) {
  const { names, store } = opened;
  const { patience } = config;
  const deps = {
    whose: names.instance,
    path: process.env.PATH ?? '',
    run,
    converse,
    files,
    processes,
    clock,
    log,
    meter: metrics,
    starts: new Starts(clock),
    patience,
  };
  const vmms = await Promise.all(PROVIDERS.map((provider) => provider.create(deps, config)));
  const { vmmOf, defaultVmms } = vmmsBy(vmms, config['default-provider'], FIRST_THERE_WAS);
  const vmmUsers = await usersOf(config['vmm-uid-range'], store, log);
  const { cgroups, why } = await createCgroups({ files, name: cgroupName(names), setting: config['vmm-cgroups'] });
  if (why !== undefined) log.info('VMMs run without limits of their own: flintlock doctor tells more', { why });

  const consolePath = (vm: MicroVm): string =>
    vmmOf(providerOf(vm)).consolePath({ stateDirectory: vmStateDirectory(names, vm.uid) });
  const consoles = new SharedConsoles((uid) => {
    const vm = store.get(uid);
    if (!vm) throw new Fault('not_found', `microVM with uid ${uid} not found`);
    const limits = AbortSignal.any([ending, AbortSignal.timeout(CONSOLE_OPEN_MS * patience)]);
    return vmmOf(providerOf(vm)).openChannel(placesOf(uid), 'console', limits);
  });
  const placesOf = (uid: Uid) => ({
    ...{ uid, runDirectory: vmRunDirectory(names, uid), stateDirectory: vmStateDirectory(names, uid) },
  });
  const openAgent = async (uid: Uid, signal: AbortSignal): Promise<AgentWay | undefined> => {
    const vm = store.get(uid);
    if (!vm) throw new Fault('not_found', `microVM with uid ${uid} not found`);
    const vmm = vmmOf(providerOf(vm));
    if (!vmm.capabilities.channels.includes('agent')) return undefined;
    const dial = vmm.agentDial?.({
      ...placesOf(uid),
      user: vm.allocation.vmmUser,
      options: vm.spec.providerOptions,
    });
    if (dial) return { is: 'connections', dial };
    using limit = new TimeLimit(signal, CONSOLE_OPEN_MS * patience);
    return { is: 'channel', channel: await vmm.openChannel(placesOf(uid), 'agent', limit.signal) };
  };
  const consoleTail = async (uid: Uid): Promise<string> => {
    const vm = store.get(uid);
    const path = vm && consolePath(vm);
    const info = path === undefined ? undefined : await files.stat(path);
    if (path === undefined || !info) return '';
    const offset = Math.max(0, info.sizeBytes - CONSOLE_TAIL_BYTES);
    return Buffer.from((await files.read(path, { offset, maxBytes: CONSOLE_TAIL_BYTES })) ?? []).toString();
  };

  // Of version 2 a VMM is put elsewhere, where the daemon's own limits are not its.
  const [below] = cgroups.of('', { memoryInMb: 0, tasks: 0 });
  const vmmsBelow = below !== undefined && below.enable.length > 0 ? dirname(below.parent) : undefined;
  const capacity = async () =>
    capacityOf(names.stateDirectory, await limitsInForce({ files, ...(vmmsBelow !== undefined && { vmmsBelow }) }));
  return { vmms, vmmOf, defaultVmms, vmmUsers, cgroups, consolePath, consoles, consoleTail, openAgent, capacity };
}

export type BuiltVmms = Awaited<ReturnType<typeof buildVmms>>;
