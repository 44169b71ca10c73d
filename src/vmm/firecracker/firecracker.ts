import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmInfo } from '../../ports/vmm.ts';
import { findProgram } from '../../tools/programs.ts';
import { Tried } from '../../tools/tried.ts';
import type { ProviderDeps } from '../provider.ts';
import { dialVsock } from '../supervisor/hybrid-vsock.ts';
import { OwnedChannels } from '../supervisor/owned-channels.ts';
import { type Launch, Supervisor } from '../supervisor/supervisor.ts';
import { firecrackerArgv } from './argv.ts';
import { CAPABILITIES } from './capabilities.ts';
import { openConsole } from './console-channel.ts';
import type { DeviceLook, KvmChoice, lookAtDevices } from './devices.ts';
import { firecrackerProgram } from './firecracker-program.ts';
import { agentSocket, apiSocket, consoleInput, consoleLog, isProgram, ownLog, vmmLog } from './layout.ts';
import { violationsOf } from './limits.ts';
import { needsOf } from './needs.ts';
import { remarksOf } from './remarks.ts';
import { type FirecrackerVerdict, tryFirecracker } from './trial.ts';

export interface FirecrackerOptions extends ProviderDeps {
  /** The program, by name or path. */
  readonly binary: string;
  /** What is believed of /dev/kvm. */
  readonly kvm: KvmChoice;
  /** How the host's devices are tried; absent: by opening them. */
  readonly devices?: typeof lookAtDevices;
}

const WORDS = ['initrd', 'disks', 'read-only-disks', 'tap', 'console', 'adopt', 'pause'];

/** A Firecracker that does not work is tried again when it is asked for after so long: what it lacks may be another file. */
const DOUBT_MS = 5_000;

/** Firecracker. It is tried when this is made, when its file is another, and after a start that failed. */
export async function createFirecracker(options: FirecrackerOptions): Promise<Vmm> {
  const { binary, files, run, log } = options;
  const channels = new OwnedChannels();
  let told = '';
  const trial = new Tried<FirecrackerVerdict>({
    attempt: async () => {
      const verdict = await tryFirecracker(options);
      const why = verdict.works ? '' : verdict.why;
      const isNews = why !== told;
      if (isNews && verdict.works) log.info('Firecracker works now', { version: verdict.version.text });
      else if (isNews && !verdict.works && !verdict.isMissing) log.warn('Firecracker cannot be used', { why });
      told = why;
      return verdict;
    },
    stamp: async () => (await findProgram(files, options.path, binary))?.stamp ?? '',
    isGood: ({ works }) => works,
    doubtMs: DOUBT_MS,
    clock: options.clock,
  });
  const version = () => trial.last?.version;
  const supervisor = new Supervisor(firecrackerProgram(binary, { run, files, version }), options);

  const requireWorking = async (verdict: Promise<FirecrackerVerdict>): Promise<DeviceLook> => {
    const found = await verdict;
    if (found.works) return found;
    throw new Fault('refused', found.why, { reason: 'ProviderUnavailable' });
  };
  void trial.verdict().catch(() => undefined); // whoever asks next is told

  const begin = async (config: VmmConfig, launch: Launch, signal: AbortSignal): Promise<RunningVmm> => {
    const { groups } = await orAborted(requireWorking(trial.verdict()), signal);
    try {
      return await launch(firecrackerArgv(config, { binary, groups }));
    } catch (error) {
      // Perhaps it is not this microVM: KVM may be gone.
      if (!signal.aborted && error instanceof Fault) await orAborted(requireWorking(trial.again()), signal);
      throw error;
    }
  };

  return {
    name: 'firecracker',
    capabilities: CAPABILITIES,

    async info(): Promise<VmmInfo> {
      const verdict = await trial.soon();
      const unavailableReason = verdict
        ? verdict.works
          ? ''
          : verdict.why
        : 'Firecracker is being tried, and did not answer yet: ask again';
      return {
        name: 'firecracker',
        version: version()?.text ?? '',
        program: binary,
        accelerator: 'kvm',
        acceleratorReason: 'KVM: Firecracker has no other',
        available: unavailableReason === '',
        unavailableReason,
        capabilities: WORDS,
        features: CAPABILITIES,
      };
    },

    check: (spec, words, kernel) => violationsOf(spec, words, { kernel, version: version() }),
    remarks: (spec, kernel) => remarksOf(spec, kernel),
    needs: (config) => needsOf(config),

    start: (config, signal, before) =>
      supervisor.start(config, signal, (launch) => begin(config, launch, signal), before),
    adopt: (config, identity, signal) => supervisor.adopt(config, identity, signal),
    stop: (config, identity, signal) => supervisor.stop(config, identity, signal),

    isProgram: (argv, exe) => isProgram(binary, argv, exe),
    consolePath: consoleLog,
    openChannel: (config, _kind, signal) =>
      channels.open(config.uid, 'console', () => openConsole(config, files, signal)),
    dialAgent: (config, port, signal) =>
      dialVsock({ path: agentSocket(config), user: config.user }, port, files, signal),
    paths: (config) => [
      apiSocket(config),
      agentSocket(config),
      consoleInput(config),
      consoleLog(config),
      vmmLog(config),
      ownLog(config),
    ],
  };
}
