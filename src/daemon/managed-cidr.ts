import { Fault } from '../domain/fault.ts';
import { type Cidr, parseCidr } from '../domain/ipv4.ts';
import { HOST_OWNER } from '../domain/ledger.ts';
import { bridgeName } from '../domain/names.ts';
import type { Log } from '../ports/log.ts';
import type { Surroundings } from '../ports/network.ts';
import type { Opened } from './open.ts';
import type { Config } from './settings.ts';

/** What a daemon looks at on the host before it serves. */
const LOOK_MS = 120_000;

/** @throws Fault `refused` where no macvtap can be made on it */
export async function requireParent(parent: string, network: Surroundings, patience: number): Promise<void> {
  const wrong = parent === '' ? undefined : await network.parentUnfit(parent, AbortSignal.timeout(LOOK_MS * patience));
  if (wrong !== undefined) throw new Fault('refused', `Cannot use --parent-iface ${parent}: ${wrong}`);
}

const REMEMBERED_NETWORK = 'managed-network';

/** The network's CIDR: as given, as chosen before, or the first that no route of the host meets. */
export async function managedCidr(
  config: Config,
  { names, store, ledger, network }: Opened,
  log: Log,
): Promise<Cidr | undefined> {
  const wanted = config['bridge-name'] === '' ? config['managed-network'] : 'none';
  if (wanted === 'none') return undefined;
  const bridge = bridgeName(names);
  const signal = AbortSignal.timeout(LOOK_MS * config.patience);
  // A row that cannot be read keeps no daemon from its start.
  const isMade = ledger.ofKind('forwarding').length + ledger.unreadable(HOST_OWNER).length > 0;
  const before = isMade ? store.recall(REMEMBERED_NETWORK) : undefined;
  const text = wanted !== 'auto' ? wanted : (before ?? (await network.freeCidr(bridge, signal)));
  if (text === undefined)
    throw new Fault(
      'refused',
      'Every network from 10.77.0.0/24 to 10.255.0.0/24 meets a route of the host: give one with --managed-network',
    );
  if (before !== undefined && before !== text)
    throw new Fault(
      'refused',
      `Cannot use --managed-network ${text}: the network was made as ${before}; delete its microVMs and run flintlockd teardown first`,
    );
  const obstacle = await network.overlaps({ cidr: text, bridge }, signal);
  // A network that is made stays in use, whatever came after it: its guests are not left alone for that.
  if (obstacle !== undefined && before === undefined)
    throw new Fault('refused', `Cannot use the network ${text}: ${obstacle}`);
  if (obstacle !== undefined) log.warn('the network meets another of this host', { obstacle });
  store.remember(REMEMBERED_NETWORK, text);
  return parseCidr(text);
}
