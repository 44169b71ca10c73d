import type { Files, Run } from '../../ports/host.ts';
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
  isJailed,
  isOf,
  openFiles,
  openPaths,
  vmmLog,
} from './layout.ts';
import { machineOf } from './machine.ts';
import { FirecrackerMonitor } from './monitor.ts';
import { Standstill } from './standstill.ts';
import type { Version } from './version.ts';

interface Hands {
  readonly run: Run;
  readonly files: Files;
  /** Of the program, as it is known by now. */
  readonly version: () => Version | undefined;
}

const UNTOLD =
  "Firecracker does not tell when its guest powers itself off or stands still: that is seen by its kernel's last words on the console, some seconds later. Let the kernel have console=ttyS0, or stop the microVM instead of powering off in the guest";

/** What the supervisor has to know of Firecracker. @param binary - the program, by name or path */
export const firecrackerProgram = (binary: string, { run, files, version }: Hands): VmmProgram => ({
  name: 'Firecracker',
  consoleLog,
  errorLog: vmmLog,
  controlSocket: apiSocket,
  // It leaves its own behind at every end.
  sockets: (config) => [apiSocket(config), agentSocket(config), consoleInput(config)],
  startOptions: (config) => ({
    output: consoleLog(config),
    input: consoleInput(config),
    directory: config.runDirectory,
    open: openFiles(config),
  }),
  prepare: (config) => prepare(config, { run, files }),
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
      }),
      accelerator: 'kvm',
      advice,
      untold: UNTOLD,
      counters: config.nics.map(({ device }) => ({ device, counts: 'received' })),
    };
  },
  endOf,
  refusalOf: (exit, errors) => jailRefusal(errors) ?? refusalOf(binary, exit, errors),
});
