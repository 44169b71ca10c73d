import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ConnectError } from '@connectrpc/connect';
import { parse as parseYaml } from 'yaml';
import type { DaemonFindings } from '../doctor/check.ts';
import type { HostTool, ServerInfoResponse } from '../gen/flintlock/microvm/v1/host_pb.ts';
import { type Address, addressText } from './address.ts';
import { openClients } from './client.ts';
import type { Io } from './io.ts';
import { patienceOf } from './patience.ts';
import type { Reach } from './reach.ts';

/** A daemon that waits for a trial answers after five seconds. */
const ANSWER_MS = 20_000 * patienceOf(process.env);

/** The daemon of this host that is meant, and what it has found out; what was in the way is a sentence. */
export interface LocalDaemon {
  readonly findings?: DaemonFindings;
  readonly trouble?: string;
}

/**
 * Asks a daemon of this host what it has found out.
 *
 * @param reach - as the user gave it: one of another host is not asked, for it knows nothing of this one
 * @param runDirectory - where its socket is looked for where nothing was given
 */
export async function askLocalDaemon(reach: Reach, runDirectory: string, signal: AbortSignal): Promise<LocalDaemon> {
  const at = addressText(reach.address);
  if (!reach.isDefault && !isOfThisHost(reach.address))
    return { trouble: `${at} may be another host, and this one is looked at: run it there for that one` };
  const socket = join(runDirectory, 'api.sock');
  if (reach.isDefault && !statSync(socket, { throwIfNoEntry: false })?.isSocket()) return {};
  const clients = await openClients(reach.isDefault ? { address: { socket } } : reach);
  try {
    return { findings: findingsOf(await (await clients.host()).serverInfo({}, { signal, timeoutMs: ANSWER_MS })) };
  } catch (error) {
    signal.throwIfAborted();
    // One that nobody named may be down, or not for this user: the host is looked at without it.
    if (reach.isDefault) return {};
    return {
      trouble: `${at} does not answer, and this host is looked at without it: ${ConnectError.from(error).rawMessage}`,
    };
  } finally {
    clients.close();
  }
}

const isOfThisHost = (address: Address): boolean =>
  'socket' in address || ['localhost', '127.0.0.1', '::1'].includes(address.host);

function findingsOf(info: ServerInfoResponse): DaemonFindings {
  const { tools, providers, capacity, capacityNotes, instance, stateDirectory, runDirectory, managedNetwork } = info;
  return {
    ...(stateDirectory !== '' && { stateDirectory }),
    ...(runDirectory !== '' && { runDirectory }),
    network: { bridge: `fl${instance}br`, cidr: managedNetwork },
    tools: tools.flatMap(({ state, name, path, found, remedy }) =>
      isState(state) ? [{ is: state, name, path, found, remedy }] : [],
    ),
    ...(capacity && { capacity: { memoryInMb: Number(capacity.memoryInMb), notes: capacityNotes } }),
    providers: providers
      .filter(({ program }) => program !== '')
      .map(({ name, program, version, available, unavailableReason: why, capabilities }) => ({
        ...{ name, program, version, available, why, capabilities },
      })),
  };
}

const STATES = ['works', 'slow', 'late', 'broken', 'missing', 'untried'] as const;
const isState = (state: HostTool['state']): state is (typeof STATES)[number] => STATES.some((one) => one === state);

/** Where the systemd unit reads its settings from. */
const UNIT_ENVIRONMENT = '/etc/flintlock/flintlockd.env';

/**
 * A setting that a daemon of this host would have, as far as its files say it: the environment, then the unit's, then the
 * configuration file that one of them names.
 */
export function configured(env: Io['env'], name: string, unit = UNIT_ENVIRONMENT): string | undefined {
  const variables: Readonly<Record<string, string | undefined>> = { ...linesOf(unit), ...env };
  const file = variables.FLINTLOCKD_CONFIG;
  const settings = file === undefined ? undefined : yamlOf(file);
  const fromFile: unknown =
    typeof settings === 'object' && settings !== null ? new Map(Object.entries(settings)).get(name) : undefined;
  const variable = `FLINTLOCKD_${name.toUpperCase().replaceAll('-', '_')}`;
  return variables[variable] || (typeof fromFile === 'string' && fromFile) || undefined;
}

function linesOf(path: string): Readonly<Record<string, string>> {
  const lines = textOf(path)
    .split('\n')
    .flatMap((line) => {
      const [, key, value = ''] = /^\s*([A-Z_]+)=(.*)$/.exec(line) ?? [];
      return key === undefined ? [] : [[key, value.trim().replace(/^(["'])(.*)\1$/, '$2')] as const];
    });
  return Object.fromEntries(lines);
}

function yamlOf(path: string): unknown {
  try {
    return parseYaml(textOf(path));
  } catch {
    return undefined; // the daemon itself says what is wrong with it
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
