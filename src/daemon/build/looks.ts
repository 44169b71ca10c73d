import { keepConsoles } from '../../engine/console-keeper.ts';
import { hearServer } from '../../engine/hear-server.ts';
import { keepMtus } from '../../engine/keep-mtus.ts';
import { purgePeriodically } from '../../engine/purge.ts';
import { ReplugCutOff } from '../../engine/replug-cut-off.ts';
import { watchShares } from '../../engine/watch-shares.ts';
import { clock } from '../../host/clock.ts';
import { files } from '../../host/files.ts';
import type { BuiltEngine } from './engine.ts';
import type { BuiltNetworks } from './networks.ts';
import type { Parts } from './parts.ts';
import type { BuiltVmms } from './vmms.ts';

export interface Looks {
  /** What earlier daemons left is forgotten too, when its time has come. */
  purge(): void;
  stop(): Promise<unknown>;
}

/** Begins to look, again and again, after what no step of a microVM does. */
export function startLooks(
  { config, opened, log, metrics, ending }: Parts,
  {
    vmms,
    networks,
    engine,
  }: { readonly vmms: BuiltVmms; readonly networks: BuiltNetworks; readonly engine: BuiltEngine },
): Looks {
  const { names, store, ledger, network } = opened;
  const { patience } = config;
  const purge = purgePeriodically({ store, clock, log, retainMs: config['retain-deleted'] });
  const replug = new ReplugCutOff({ guests: engine.guests, log, signal: ending });
  networks.health.onCutOff((uid, devices) => void replug.see(uid, devices));
  const stops = [
    keepConsoles({
      ...{ files, clock, log },
      running: () => engine.guests.all(),
      consolePath: (uid) => {
        const vm = store.get(uid);
        return vm && vmms.consolePath(vm);
      },
    }),
    keepMtus({ network, ledger, own: networks.managed?.bridge, clock, log, patience }),
    watchShares({ network, names, ledger, store, meter: metrics, clock, log, patience }),
    hearServer({ network, ledger, meter: metrics, clock, log }),
    () => purge.stop(),
  ];
  return {
    purge: () => purge.start('now'),
    stop: () => Promise.all(stops.map((stop) => stop())),
  };
}
