import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmInfo } from '../../ports/vmm.ts';
import { findProgram } from '../../tools/programs.ts';
import { Tried } from '../../tools/tried.ts';
import type { ProviderDeps } from '../provider.ts';
import { dialVsock } from '../supervisor/hybrid-vsock.ts';
import { OwnedChannels } from '../supervisor/owned-channels.ts';
import { type Launch, Supervisor } from '../supervisor/supervisor.ts';
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

/** One that does not work is tried again when it is asked for after so long: what it lacks may be another file. */
const DOUBT_MS = 5_000;

/** Cloud Hypervisor. It is tried when this is made, when its file is another, and after a start that failed. */
export async function createCloudHypervisor(options: CloudHypervisorOptions): Promise<Vmm> {
  const { binary, files, processes, run, converse, log, clock, landlock } = options;
  const channels = new OwnedChannels();
  const kvm: TrialOptions['kvm'] = (limits) => kvmObstacle({ run, files }, options.kvm, limits);
  let told = '';
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
  const trial = new Tried<Verdict>({
    attempt: async () => {
      const verdict = await tryCloudHypervisor({ binary, path: options.path, run, files, kvm, landlock });
      const why = verdict.works ? '' : verdict.why;
      if (why !== told) {
        if (why === '') log.info('Cloud Hypervisor can be used now', { version: verdict.version });
        else log.info('Cloud Hypervisor cannot be used', { why });
      }
      if (verdict.works && verdict.caution !== undefined && verdict.caution !== warned) log.warn(verdict.caution);
      if (verdict.works) {
        warned = verdict.caution;
        tellOfLandlock(verdict.unconfined);
      }
      told = why;
      return verdict;
    },
    stamp: async () => (await findProgram(files, options.path, binary))?.stamp ?? '',
    isGood: ({ works }) => works,
    doubtMs: DOUBT_MS,
    clock,
    patience: options.patience,
  });
  void trial.verdict().catch(() => undefined); // whoever asks next is told

  const working = async (verdict: Promise<Verdict>): Promise<Extract<Verdict, { works: true }>> => {
    const found = await verdict;
    if (found.works) return found;
    throw new Fault('refused', found.why, { reason: 'ProviderUnavailable' });
  };

  const confines = async (signal: AbortSignal): Promise<boolean> =>
    (await orAborted(working(trial.verdict()), signal)).unconfined === undefined;
  const supervisor = new Supervisor(cloudHypervisorProgram(binary, { run, files, clock, confines }), options);

  const begin = async (config: VmmConfig, launch: Launch, signal: AbortSignal): Promise<RunningVmm> => {
    const { program, stays, overlays, version } = await orAborted(working(trial.verdict()), signal);
    if (!overlays && config.disks.some(({ format }) => format === 'qcow2')) throw cannotOverlay(version);
    try {
      return await launch(startArgv(config, { binary: program, stays }));
    } catch (error) {
      // Perhaps it is not this microVM.
      if (!signal.aborted && error instanceof Fault) await orAborted(working(trial.again()), signal);
      throw error;
    }
  };

  /** Until it was tried, what every version takes. */
  const features = () => capabilitiesOf({ overlays: trial.last?.works === true && trial.last.overlays });

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
    dialAgent: (config, port, signal) =>
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
