import { Fault } from '../../domain/fault.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmInfo } from '../../ports/vmm.ts';
import type { ProviderDeps } from '../provider.ts';
import { dialVsock } from '../supervisor/hybrid-vsock.ts';
import { OwnedChannels } from '../supervisor/owned-channels.ts';
import { type Launch, Supervisor } from '../supervisor/supervisor.ts';
import { TriedProgram } from '../supervisor/tried-program.ts';
import { startArgv } from './argv.ts';
import { capabilitiesOf } from './capabilities.ts';
import { openConsole } from './console-channel.ts';
import { type KvmChoice, kvmObstacle } from './kvm.ts';
import { CONFINED_WORD, type LandlockChoice, UNCONFINED } from './landlock.ts';
import { agentSocket, consoleLog, isProgram, pathsOf } from './layout.ts';
import { violationsOf } from './limits.ts';
import { needsOf } from './needs.ts';
import { cloudHypervisorProgram } from './program.ts';
import { remarksOf } from './remarks.ts';
import { OVERLAYS_SINCE, type TrialOptions, tryCloudHypervisor, type Verdict } from './trial.ts';

export interface CloudHypervisorOptions extends ProviderDeps {
  /** The program, by name or path. */
  readonly binary: string;
  readonly kvm: KvmChoice;
  readonly landlock: LandlockChoice;
}

/** Cloud Hypervisor. It is tried when this is made, when its file is another, and after a start that failed. */
export async function createCloudHypervisor(options: CloudHypervisorOptions): Promise<Vmm> {
  const { binary, files, processes, run, converse, log, clock, landlock } = options;
  const channels = new OwnedChannels();
  const kvm: TrialOptions['kvm'] = (limits) => kvmObstacle({ run, files }, options.kvm, limits);
  /** Of what was warned last: once. */
  let warned: string | undefined;
  let toldOfLandlock = '';
  const tellOfLandlock = (why: string | undefined): void => {
    const news = why ?? 'confined';
    if (news === toldOfLandlock) return;
    toldOfLandlock = news;
    if (why === undefined) log.info('Cloud Hypervisor shuts itself out of all files but those of its guest');
    else log.info('Cloud Hypervisor is not confined by Landlock', { why, weaker: UNCONFINED });
  };
  const trial = new TriedProgram<Verdict>({
    ...options,
    attempt: () => tryCloudHypervisor({ binary, path: options.path, run, files, kvm, landlock }),
    programs: [binary],
    tell: (verdict, isNews) => {
      if (!verdict.works) {
        if (isNews) log.info('Cloud Hypervisor cannot be used', { why: verdict.why });
        return;
      }
      if (isNews) log.info('Cloud Hypervisor can be used now', { version: verdict.version });
      if (verdict.caution !== undefined && verdict.caution !== warned) log.warn(verdict.caution);
      warned = verdict.caution;
      tellOfLandlock(verdict.unconfined);
    },
  });

  const confines = async (signal: AbortSignal): Promise<boolean> =>
    (await trial.working(signal)).unconfined === undefined;
  const supervisor = new Supervisor(cloudHypervisorProgram(binary, { run, files, clock, confines }), options);

  const begin = (config: VmmConfig, launch: Launch, signal: AbortSignal): Promise<RunningVmm> =>
    trial.start(signal, async ({ program, stays, overlays, version }) => {
      if (!overlays && config.disks.some(({ format }) => format === 'qcow2')) throw cannotOverlay(version);
      return launch(startArgv(config, { binary: program, stays }));
    });

  /** Until it was tried, what every version takes. */
  const features = () => capabilitiesOf({ overlays: trial.lastWorking?.overlays === true });

  return {
    name: 'cloudhypervisor',
    get capabilities() {
      return features();
    },

    async info(): Promise<VmmInfo> {
      const verdict = await trial.soon();
      const unavailableReason = verdict === undefined ? 'It is being tried' : verdict.works ? '' : verdict.why;
      return {
        name: 'cloudhypervisor',
        version: verdict?.version ?? '',
        program: binary,
        accelerator: 'kvm',
        acceleratorReason: 'KVM: Cloud Hypervisor has nothing else',
        available: unavailableReason === '',
        unavailableReason,
        capabilities: [
          'initrd',
          'disks',
          'read-only-disks',
          'tap',
          'console',
          'adopt',
          'guest-reboot',
          'guest-power-off',
          'guest-panic',
          ...(verdict?.works && verdict.overlays ? ['qcow2'] : []),
          ...(verdict?.works && verdict.unconfined === undefined ? [CONFINED_WORD] : []),
        ],
        features: features(),
      };
    },

    tried: (signal) => trial.first(signal),
    check: (spec, words) => violationsOf(spec, words),
    remarks: remarksOf,
    needs: needsOf,

    start: (config, signal, before) =>
      supervisor.start(config, signal, (launch) => begin(config, launch, signal), before),
    adopt: (config, identity, signal) => supervisor.adopt(config, identity, signal),
    stop: (config, identity, signal) => supervisor.stop(config, identity, signal),

    isProgram: (argv, exe) => isProgram(binary, argv, exe),
    consolePath: consoleLog,
    openChannel: (config, kind, signal) =>
      channels.open(config.uid, kind, () => openConsole(config, { files, processes, converse }, signal)),
    agentDial: (config) => (port, signal) =>
      dialVsock({ path: agentSocket(config), user: config.user }, port, files, signal),
    paths: pathsOf,
  };
}

const cannotOverlay = (version: string): Fault =>
  new Fault(
    'refused',
    `Its writable volumes are overlays of qcow2, which are safe with Cloud Hypervisor since version ${OVERLAYS_SINCE}; this one is ${version}. Install a later one, or make the microVM anew`,
    { reason: 'ProviderUnavailable' },
  );
