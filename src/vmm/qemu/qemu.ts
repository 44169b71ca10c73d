import type { KernelFacts } from '../../domain/kernel-facts.ts';
import type { Spec } from '../../domain/spec.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmInfo } from '../../ports/vmm.ts';
import type { ProviderDeps } from '../provider.ts';
import { OwnedChannels } from '../supervisor/owned-channels.ts';
import { type Launch, Supervisor } from '../supervisor/supervisor.ts';
import { TriedProgram } from '../supervisor/tried-program.ts';
import { type AccelChoice, hostTscKhz } from './accel.ts';
import { openAgent } from './agent-channel.ts';
import { FIRMWARE, type Machine, qemuArgv, USER_SWITCHES } from './argv.ts';
import { capabilitiesOf } from './capabilities.ts';
import { commandLine } from './cmdline.ts';
import { openConsole } from './console-channel.ts';
import { agentSocket, consoleLog, consoleSocket, isProgram, qmpSocket, vmmLog, vsockSocket } from './layout.ts';
import { violationsOf } from './limits.ts';
import { needsOf } from './needs.ts';
import { acpiOf, isByVsock } from './options.ts';
import { qemuProgram } from './qemu-program.ts';
import { NO_QBOOT, remarksOf } from './remarks.ts';
import { type QemuVerdict, tryQemu } from './trial.ts';
import { VsockRelays } from './vsock-relays.ts';

export interface QemuOptions extends ProviderDeps {
  /** The program, by name or path. */
  readonly binary: string;
  readonly accel: AccelChoice;
  /** The default. Off: fewer devices, and the guest cannot power itself off. See `domain/acpi.ts` for what wins over it. */
  readonly acpi: boolean;
}

/** As clients know them that came before the typed table: they stay as they are. */
const CAPABILITIES = ['initrd', 'disks', 'read-only-disks', 'qcow2', 'tap', 'console', 'adopt', 'guest-reboot'];
const ACPI_CAPABILITIES = ['guest-power-off', 'guest-panic'];

/** What QEMU makes a guest's vsock with. */
const VHOST_VSOCK = '/dev/vhost-vsock';

/** The guest runs its first instruction when it is told to. */
const STANDING = '-S';

/** What of a spec decides on the machine. */
const asked = (spec: Spec, kernelFacts: KernelFacts | undefined) => ({
  options: spec.providerOptions,
  cmdline: spec.kernel.cmdline,
  ...(kernelFacts && { kernelFacts }),
});

/**
 * QEMU with the machine `microvm`. It is tried when this is made, when its file
 * is another, and after a start that failed; the accelerator is the trial's.
 */
export async function createQemu(options: QemuOptions): Promise<Vmm> {
  const { binary, acpi, files, log } = options;
  const channels = new OwnedChannels();
  const relays = new VsockRelays(options);
  /** As the last that asked for `info` found it, as every create does. */
  let hasVsock: boolean | undefined;
  const supervisor = new Supervisor(qemuProgram({ binary, clock: options.clock, run: options.run }), options);

  const tscKhz = await hostTscKhz(files);
  /** What was told of it last: it is told once. */
  let hasQboot = true;
  const trial = new TriedProgram<QemuVerdict>({
    ...options,
    attempt: () => tryQemu(options),
    programs: [binary],
    tell: (verdict, isNews) => {
      if (!verdict.works) {
        if (isNews) log.error('QEMU does not work: it can start no microVM', { why: verdict.why });
        return;
      }
      if (isNews) log.info('QEMU works now', { version: verdict.version });
      if (hasQboot && verdict.firmware === undefined) log.warn(NO_QBOOT);
      hasQboot = verdict.firmware !== undefined;
    },
  });
  /** The last verdict; before the first one what is likely. */
  const known = (): Pick<QemuVerdict, 'acceleration' | 'version'> =>
    trial.last ?? {
      version: '',
      acceleration: {
        accelerator: options.accel === 'kvm' ? 'kvm' : 'tcg',
        reason: 'not chosen yet: QEMU is being tried',
        usable: true,
      },
    };
  /** How this QEMU is started; before the first verdict what is likely. */
  const way = (): Pick<Machine, 'userSwitch' | 'firmware'> =>
    trial.lastWorking ?? { userSwitch: USER_SWITCHES[0], firmware: FIRMWARE };
  const machine = (
    config: Pick<VmmConfig, 'options' | 'cmdline' | 'kernelFacts'>,
  ): Machine & { readonly tscKhz?: number } => {
    const { accelerator } = known().acceleration;
    const hasAcpi = acpiOf(config, acpi).acpi;
    // With ACPI the emulated machine has no timer left to measure the rate by: without a word a kernel may hang. Without
    // ACPI it measures wrongly on a busy host, and gives the counter up: seen to lose 3 s in 80.
    const rate = accelerator === 'tcg' && tscKhz !== undefined ? { tscKhz } : {};
    const { userSwitch, firmware } = way();
    return { binary, acpi: hasAcpi, accelerator, userSwitch, ...(firmware && { firmware }), ...rate };
  };
  const begin = (config: VmmConfig, launch: Launch, signal: AbortSignal): Promise<RunningVmm> =>
    trial.start(signal, () => {
      const chosen = machine(config);
      return launch([...qemuArgv(config, chosen, commandLine({ ...config, ...chosen })), STANDING]);
    });

  const capabilities = () => capabilitiesOf({ accelerator: known().acceleration.accelerator, acpi });

  return {
    name: 'qemu',

    get capabilities() {
      return capabilities();
    },

    async info(): Promise<VmmInfo> {
      const verdict = await trial.soon();
      hasVsock = await files.opens(VHOST_VSOCK);
      const { version, acceleration } = verdict ?? known();
      // Of one that could not be tried for want of room nothing is known: a start waits for it.
      const unavailableReason = verdict?.works === false && !verdict.untried ? verdict.why : '';
      return {
        name: 'qemu',
        version,
        program: binary,
        accelerator: acceleration.accelerator,
        acceleratorReason: acceleration.reason,
        available: unavailableReason === '',
        unavailableReason,
        capabilities: [...CAPABILITIES, ...(acpi ? ACPI_CAPABILITIES : [])],
        features: capabilities(),
      };
    },

    check: (spec, words, kernel) => violationsOf(spec, machine(asked(spec, kernel)), words, { hasVsock }),

    remarks: (spec, kernel) => remarksOf(spec, kernel, { ...acpiOf(asked(spec, kernel), acpi), ...way() }),

    needs: (config) => needsOf(config, known().acceleration.accelerator),

    start: (config, signal, before) =>
      supervisor.start(config, signal, (launch) => begin(config, launch, signal), before),
    adopt: (config, identity, signal) => supervisor.adopt(config, identity, signal),
    stop(config, identity, signal) {
      relays.end(config);
      return supervisor.stop(config, identity, signal);
    },

    isProgram: (argv, exe) => isProgram(binary, argv, exe),
    consolePath: consoleLog,
    openChannel: (config, kind, signal) =>
      channels.open(config.uid, kind, () =>
        kind === 'agent' ? openAgent(config, signal) : openConsole(config, files, signal),
      ),
    agentDial: (config) => (isByVsock(config) ? (port, signal) => relays.dial(config, port, signal) : undefined),
    paths: (config) => [
      qmpSocket(config),
      consoleSocket(config),
      agentSocket(config),
      vsockSocket(config),
      consoleLog(config),
      vmmLog(config),
    ],
  };
}
