import type { Clock } from '../../ports/clock.ts';
import type { VmmProgram } from '../supervisor/vmm-program.ts';
import { hasAcpi, openNodes, packetCounters } from './argv.ts';
import { bootAdvice } from './boot-advice.ts';
import { refusalOf } from './ends.ts';
import { agentSocket, consoleLog, consoleSocket, isOf, qmpSocket, vmmLog } from './layout.ts';
import { QmpMonitor } from './qmp-monitor.ts';

/** What the supervisor has to know of QEMU. @param binary - the program, by name or path */
export const qemuProgram = (binary: string, clock: Pick<Clock, 'after'>): VmmProgram => ({
  name: 'QEMU',
  consoleLog,
  errorLog: vmmLog,
  controlSocket: qmpSocket,
  sockets: (config) => [qmpSocket(config), consoleSocket(config), agentSocket(config)],
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
        devices: config.nics.map(({ device }) => device),
      }),
      accelerator: argv[argv.indexOf('-accel') + 1] === 'kvm' ? 'kvm' : 'tcg',
      advice: bootAdvice(config, acpi),
      counters: packetCounters(config, argv),
    };
  },
  refusalOf: (exit, errors) => refusalOf(binary, exit, errors),
});
