import type { Cidr } from '../../domain/ipv4.ts';
import { clock } from '../../host/clock.ts';
import { files } from '../../host/files.ts';
import { KERNEL_PARTS } from '../../network/kernel-trial.ts';
import { TOOLS } from '../../tools/list.ts';
import { createToolbox } from '../../tools/toolbox.ts';
import { tryKernel } from '../kernel-states.ts';
import type { Parts } from './parts.ts';

/** The programs of the host and its kernel, each tried for what this daemon needs of it. */
export function buildTools({ config, opened, log, run, ending }: Parts, cidr: Cidr | undefined) {
  const path = process.env.PATH ?? '';
  const whose = opened.names.instance;
  const tools = createToolbox(TOOLS, { run, files, clock, log, path, whose, signal: ending });
  const kernelParts = [
    ...(cidr || config['bridge-name'] !== '' ? [KERNEL_PARTS.tun, KERNEL_PARTS.bridge, KERNEL_PARTS.firewall] : []),
    ...(cidr && config['network-probe-period'] > 0 ? [KERNEL_PARTS.veth] : []),
    ...(config['parent-iface'] !== '' ? [KERNEL_PARTS.macvtap] : []),
  ];
  const kernel = tryKernel(kernelParts, { run, files, clock, log, signal: ending });
  return { ...tools, states: async () => [...(await tools.states()), ...kernel()] };
}
