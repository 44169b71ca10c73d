import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { DaemonFindings } from '../doctor/check.ts';
import type { HostTool, ServerInfoResponse } from '../gen/flintlock/microvm/v1/host_pb.ts';
import { openClients } from './client.ts';
import type { Io } from './io.ts';

/** A daemon that waits for a trial answers after five seconds. */
const ANSWER_MS = 20_000;

/** What the daemon of a run-time directory has found out of its host; undefined where none answers. */
export async function askLocalDaemon(runDirectory: string, signal: AbortSignal): Promise<DaemonFindings | undefined> {
  const socket = join(runDirectory, 'api.sock');
  if (!statSync(socket, { throwIfNoEntry: false })?.isSocket()) return undefined;
  const clients = openClients({ address: { socket } });
  try {
    return findingsOf(await clients.host.serverInfo({}, { signal, timeoutMs: ANSWER_MS }));
  } catch {
    signal.throwIfAborted();
    return undefined; // it is down, or not for this user: the host is looked at without it
  } finally {
    clients.close();
  }
}

function findingsOf({ tools, providers, capacity, capacityNotes }: ServerInfoResponse): DaemonFindings {
  const qemu = providers.find(({ name }) => name === 'qemu');
  return {
    tools: tools.flatMap(({ state, name, path, found, remedy }) =>
      isState(state) ? [{ is: state, name, path, found, remedy }] : [],
    ),
    ...(capacity && { capacity: { memoryInMb: Number(capacity.memoryInMb), notes: capacityNotes } }),
    ...(qemu?.program && {
      qemu: {
        program: qemu.program,
        version: qemu.version,
        available: qemu.available,
        why: qemu.unavailableReason,
      },
    }),
  };
}

const STATES = ['works', 'slow', 'late', 'broken', 'missing', 'untried'] as const;
const isState = (state: HostTool['state']): state is (typeof STATES)[number] => STATES.some((one) => one === state);

/** Where the systemd unit reads its settings from. */
const UNIT_ENVIRONMENT = '/etc/flintlock/flintlockd.env';

/**
 * Which QEMU a daemon of this host would use, as far as its files say it: the environment, then the unit's, then the
 * configuration file that one of them names.
 */
export function configuredQemu(env: Io['env'], unit = UNIT_ENVIRONMENT): string {
  const variables = { ...linesOf(unit), ...env };
  const file = variables.FLINTLOCKD_CONFIG;
  const settings = file === undefined ? undefined : yamlOf(file);
  const fromFile =
    typeof settings === 'object' && settings !== null && 'qemu-bin' in settings ? settings['qemu-bin'] : '';
  return variables.FLINTLOCKD_QEMU_BIN || (typeof fromFile === 'string' && fromFile) || 'qemu-system-x86_64';
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
