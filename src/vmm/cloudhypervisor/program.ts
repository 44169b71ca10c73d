import type { Clock } from '../../ports/clock.ts';
import type { Files, Run } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { VmmProgram } from '../supervisor/vmm-program.ts';
import { staysOf } from './argv.ts';
import { commandLine } from './cmdline.ts';
import { refusalOf } from './ends.ts';
import { EventFile } from './event-file.ts';
import { explained } from './explained.ts';
import { agentDirectory, apiSocket, consoleLog, eventsFile, isOf, vmmLog } from './layout.ts';
import { machineOf } from './machine.ts';
import { CloudHypervisorMonitor } from './monitor.ts';
import { addNics } from './nics.ts';
import { bootAdvice } from './remarks.ts';

interface Hands {
  readonly run: Run;
  readonly files: Files;
  readonly clock: Pick<Clock, 'after'>;
  /** Whether it shuts itself out of the host's files. */
  readonly confines: (signal: AbortSignal) => Promise<boolean>;
}

/** What the supervisor has to know of Cloud Hypervisor. @param binary - the program, by name or path */
export const cloudHypervisorProgram = (binary: string, { run, files, clock, confines }: Hands): VmmProgram => ({
  name: 'Cloud Hypervisor',
  consoleLog,
  errorLog: vmmLog,
  controlSocket: apiSocket,
  // Of that of its vsock also the directory.
  sockets: (config) => [apiSocket(config), agentDirectory(config)],
  startOptions: () => ({}),
  isOf,
  runOf: (config: VmmConfig, _process, argv) => {
    const monitor = new CloudHypervisorMonitor({
      ...{ path: apiSocket(config), events: new EventFile(files, eventsFile(config)), stays: staysOf(argv), clock },
      nics: config.nics,
      machine: async (signal) => machineOf(config, commandLine(config), await confines(signal)),
      addNics: (signal) => addNics(config, run, signal),
      explain: (refusal, machine) => explained(refusal, { config, isConfined: machine.landlock_enable === true }),
    });
    return {
      monitor,
      accelerator: 'kvm',
      advice: bootAdvice(config),
      get counters() {
        return config.nics.map(({ device }, i) => ({
          device,
          counts: monitor.isMacvtap(i) ? ('sent' as const) : ('received' as const),
        }));
      },
    };
  },
  refusalOf: (exit, errors) => refusalOf(binary, exit, errors),
});
