import type { Clock } from '../../ports/clock.ts';
import type { Run } from '../../ports/host.ts';
import type { VmmProgram } from '../supervisor/vmm-program.ts';
import { hasAcpi, openNodes, packetCounters } from './argv.ts';
import { bootAdvice } from './boot-advice.ts';
import { refusalOf } from './ends.ts';
import { agentSocket, consoleLog, consoleSocket, isOf, qmpSocket, vmmLog, vsockSocket } from './layout.ts';
import { isByVsock } from './options.ts';
import { QmpMonitor } from './qmp-monitor.ts';

export interface QemuProgramOptions {
  /** The program, by name or path. */
  readonly binary: string;
  readonly clock: Pick<Clock, 'after'>;
  readonly run: Run;
}

/** What the supervisor has to know of QEMU. */
export const qemuProgram = ({ binary, clock, run }: QemuProgramOptions): VmmProgram => ({
  name: 'QEMU',
  consoleLog,
  errorLog: vmmLog,
  controlSocket: qmpSocket,
  sockets: (config) => [
    ...[qmpSocket(config), consoleSocket(config), agentSocket(config)],
    // Its relay's, which is ended before.
    ...(isByVsock(config) ? [vsockSocket(config)] : []),
  ],
  // Its user may open no device.
  startOptions: (config) => ({ open: openNodes(config).map((path) => ({ path })) }),
  isOf,
  runOf: (config, { pid }, argv) => {
    const acpi = hasAcpi(argv);
    return {
      monitor: new QmpMonitor({
        path: qmpSocket(config),
        pid,
        acpi,
        clock,
        devices: config.nics.map(({ device, node }) => ({ name: device, isFile: node !== undefined })),
        run,
      }),
      accelerator: argv[argv.indexOf('-accel') + 1] === 'kvm' ? 'kvm' : 'tcg',
      advice: bootAdvice(config, acpi),
      counters: packetCounters(config, argv),
    };
  },
  refusalOf: (exit, errors) => refusalOf(binary, exit, errors),
});
