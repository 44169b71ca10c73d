import { Fault } from '../../domain/fault.ts';
import type { Run } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { refusedBy } from './ends.ts';
import { apiSocket } from './layout.ts';
import { interfaceOf } from './machine.ts';
import { NIC_SENDER } from './perl.ts';

/** A machine that does not run yet takes an interface at once. */
const SEND_MS = 30_000;

/**
 * Gives a machine that was made its interfaces, each with its tap or macvtap open: Cloud Hypervisor's user may open none.
 * @throws Fault ProviderRefused with its words, or with why one cannot be opened; the signal's reason
 */
export async function addNics(
  config: Pick<VmmConfig, 'runDirectory' | 'nics'>,
  run: Run,
  signal: AbortSignal,
): Promise<void> {
  const input = config.nics
    .map((nic, i) => {
      const [kind, place] = nic.node === undefined ? ['tap', nic.device] : ['node', nic.node];
      return `${kind}\t${place}\t${JSON.stringify(interfaceOf(nic, i))}\n`;
    })
    .join('');
  let told: string;
  try {
    told = await run(['perl', '-e', NIC_SENDER, '--', apiSocket(config)], { signal, timeoutMs: SEND_MS, input });
  } catch (error) {
    const why = error instanceof Fault ? /flintlock: (.*)/.exec(error.message)?.[1] : undefined;
    if (why === undefined) throw error;
    const message = `Cannot give Cloud Hypervisor its interfaces: ${why}`;
    throw new Fault('tool', message, { reason: 'ProviderRefused', cause: error });
  }
  const answers = told.split('\n').filter((line) => line !== '');
  const [last = '0 it said nothing'] = answers.slice(-1);
  const [, status = '0', text = ''] = /^(\d+) (.*)$/.exec(last) ?? [];
  if (Number(status) >= 300 || answers.length !== config.nics.length)
    throw refusedBy('vm.add-net', { status: Number(status), text });
}
