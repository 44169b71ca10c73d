import { createHash, randomBytes } from 'node:crypto';
import { databasePath, lockPath, type Names } from '../domain/names.ts';
import { clock } from '../host/clock.ts';
import { converse } from '../host/converse.ts';
import { roomText } from '../host/disk-room.ts';
import { files } from '../host/files.ts';
import { follow } from '../host/follow.ts';
import { createProcesses } from '../host/processes.ts';
import { patientRun } from '../host/run.ts';
import { runBy } from '../host/run-by.ts';
import { Starter } from '../host/starter.ts';
import { createNetwork } from '../network/network.ts';
import { type Acts, DIRECT } from '../ports/acts.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { FirewallElements, Shares, Surroundings } from '../ports/network.ts';
import type { Wholeness } from '../ports/network-watch.ts';
import type { Store } from '../ports/store.ts';
import { schemas } from '../steps/registry.ts';
import type { HostStepPorts } from '../steps/step.ts';
import { Database, holdLock } from '../store/database.ts';
import { createLedger } from '../store/ledger.ts';
import { createStore } from '../store/vms.ts';
import { limited } from './acts/limits.ts';
import { patient } from './acts/patience.ts';
import type { Config } from './settings.ts';

/** Everything that needs the state directory: opened by one process at a time. */
export interface Opened {
  readonly names: Names;
  readonly store: Store;
  readonly ledger: Ledger;
  readonly database: Database;
  readonly network: HostStepPorts & Surroundings & Shares & FirewallElements & Wholeness;
  /** Of VMMs, and of the network's tools. */
  readonly starter: Starter;
  /** Within their limits, as long as this host may take. */
  readonly acts: Acts;
  close(): void;
}

/**
 * Opens the state directory.
 * @throws Fault `refused` when another daemon holds it or the database is newer
 */
export async function open(config: Config, version: string, log: Log, faulty: (acts: Acts) => Acts): Promise<Opened> {
  // What is to hang on purpose has a short limit, whatever the patience.
  const acts = patient(faulty(limited(DIRECT)), config.patience);
  const stateDirectory = await directory(config['state-dir'], 0o700);
  const runDirectory = await directory(config['run-dir'], 0o711);
  const names: Names = { instance: instanceOf(stateDirectory), stateDirectory, runDirectory };
  const lock = holdLock(lockPath(names), roomText);
  try {
    const database = new Database(databasePath(names), roomText);
    const store = createStore(database, { clock, log, newEpoch: () => randomBytes(6).toString('hex') });
    const ledger = createLedger(database, schemas, version);
    const { patience } = config;
    const ending = new AbortController();
    const living = { converse, signal: ending.signal };
    const starter = new Starter();
    // It asks for all that it has every few seconds while anything changes.
    const run = patientRun(patience, runBy(starter, runDirectory));
    const network = createNetwork({ run, follow, living, files, processes: createProcesses(), clock, log, patience });
    const close = (): void => {
      ending.abort();
      starter.close();
      database.close();
      lock.release();
    };
    return { names, store, ledger, database, network, starter, acts, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function directory(path: string, mode: number): Promise<string> {
  await files.makeDirectory(path, mode);
  return (await files.realPath(path)) ?? path;
}

/** Four letters or digits that begin every name of this daemon on the host. */
function instanceOf(stateDirectory: string): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const digest = createHash('sha256').update(stateDirectory).digest();
  return [...digest.subarray(0, 4)].map((byte) => alphabet[byte % 32]).join('');
}
