import type { Files } from '../../ports/host.ts';
import type { Log } from '../../ports/log.ts';
import type { Meter } from '../../ports/meter.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { VmmProgram } from '../supervisor/vmm-program.ts';
import { prepare, takeBack } from './access.ts';
import { bootAdvice } from './boot-advice.ts';
import { whyClosed } from './closed.ts';
import { commandLine } from './cmdline.ts';
import { endOf, refusalOf } from './ends.ts';
import { jailedPaths } from './jail-layout.ts';
import { jailRefusal } from './jail-words.ts';
import {
  agentSocket,
  apiSocket,
  consoleInput,
  consoleLog,
  hasMetrics,
  isJailed,
  isOf,
  metricsPipe,
  openFiles,
  openPaths,
  vmmLog,
} from './layout.ts';
import { machineOf } from './machine.ts';
import { Metrics } from './metrics.ts';
import { FirecrackerMonitor } from './monitor.ts';
import { readyRefusal } from './ready-perl.ts';
import { Standstill } from './standstill.ts';
import type { Version } from './version.ts';

interface Hands {
  readonly files: Files;
  /** Of the program, as it is known by now. */
  readonly version: () => Version | undefined;
  readonly log: Pick<Log, 'info'>;
  readonly meter?: Pick<Meter, 'vmmFailures'> | undefined;
}

const UNTOLD =
  "Firecracker does not tell when its guest powers itself off or stands still: that is seen by its kernel's last words on the console, some seconds later. Let the kernel have console=ttyS0, or stop the microVM instead of powering off in the guest";

/** What the supervisor has to know of Firecracker. @param binary - the program, by name or path */
export const firecrackerProgram = (binary: string, { files, version, log, meter }: Hands): VmmProgram => {
  const metricsOf = (config: VmmConfig): Metrics =>
    new Metrics({
      path: metricsPipe(config),
      files,
      onFailures: (failures) => {
        log.info('Firecracker has counted failures of a guest’s devices', {
          uid: config.uid,
          ...Object.fromEntries(failures),
        });
        for (const [device, count] of failures) meter?.vmmFailures('firecracker', device, count);
      },
    });
  return {
    name: 'Firecracker',
    consoleLog,
    errorLog: vmmLog,
    controlSocket: apiSocket,
    // It leaves its own behind at every end.
    sockets: (config) => [apiSocket(config), agentSocket(config), consoleInput(config), metricsPipe(config)],
    startOptions: (config) => ({
      output: consoleLog(config),
      directory: config.runDirectory,
      open: openFiles(config),
    }),
    prepare: (config) => prepare(config, { files }),
    isOf,
    runOf: (config, _process, argv) => {
      const paths = isJailed(argv) ? jailedPaths(config) : openPaths(config);
      const advice = bootAdvice(config);
      const standstill = new Standstill(files, consoleLog(config), advice);
      return {
        monitor: new FirecrackerMonitor({
          path: apiSocket(config),
          machine: machineOf(config, commandLine(config), version(), paths),
          told: () => takeBack(config, files),
          fresh: () => standstill.begin(),
          stoodStill: () => standstill.look(),
          whyClosed: (path) => whyClosed(path, config.user, files),
          ...(hasMetrics(argv) && { metrics: metricsOf(config) }),
        }),
        accelerator: 'kvm',
        advice,
        untold: UNTOLD,
        counters: config.nics.map(({ device }) => ({ device, counts: 'received' })),
      };
    },
    endOf,
    refusalOf: (exit, errors) => readyRefusal(errors) ?? jailRefusal(errors) ?? refusalOf(binary, exit, errors),
  };
};
