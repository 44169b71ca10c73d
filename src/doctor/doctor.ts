import { errorMessage } from '../base/error-text.ts';
import type { ProviderSetting } from '../vmm/provider.ts';
import { PROVIDERS } from '../vmm/registry.ts';
import type { Check, CheckHost, Result } from './check.ts';
import { acceleration } from './checks/acceleration.ts';
import { cgroups } from './checks/cgroups.ts';
import { copies } from './checks/copies.ts';
import { directories } from './checks/directories.ts';
import { disk } from './checks/disk.ts';
import { forwarding } from './checks/forwarding.ts';
import { guestDns } from './checks/guest-dns.ts';
import { kernelFeatures } from './checks/kernel-features.ts';
import { memory } from './checks/memory.ts';
import { network } from './checks/network.ts';
import { ports } from './checks/ports.ts';
import { rights } from './checks/rights.ts';
import { tools } from './checks/tools.ts';
import { users } from './checks/users.ts';
import { ways } from './checks/ways.ts';

/** In the order in which they are shown. */
export const CHECKS: readonly Check[] = [
  rights,
  users,
  acceleration,
  ...PROVIDERS.flatMap(({ checks }) => checks),
  tools,
  kernelFeatures,
  ports,
  network,
  guestDns,
  ways,
  directories,
  disk,
  copies,
  memory,
  cgroups,
  forwarding,
];

/** The settings of the daemon by which the programs of providers are named, each with its default. */
export const PROGRAM_SETTINGS: readonly { readonly name: string; readonly help: string; readonly standard: string }[] =
  PROVIDERS.flatMap(({ settings }) => Object.entries<ProviderSetting>(settings)).flatMap(
    ([name, { help, default: standard, isProgram }]) => (isProgram ? [{ name, help, standard }] : []),
  );

/**
 * Says what this host can and cannot do, with the remedy for each.
 * @throws the signal's reason
 */
export async function examine(host: CheckHost, checks: readonly Check[] = CHECKS): Promise<readonly Result[]> {
  const results = await Promise.all(checks.map((check) => examineOne(check, host)));
  return results.flat();
}

async function examineOne(check: Check, host: CheckHost): Promise<readonly Result[]> {
  try {
    return await check.examine(host);
  } catch (error) {
    host.signal.throwIfAborted();
    const found = `could not be checked: ${errorMessage(error)}`;
    return [
      { name: check.name, status: 'fail', found, fix: 'See the message; some checks need root: sudo flintlock doctor' },
    ];
  }
}
