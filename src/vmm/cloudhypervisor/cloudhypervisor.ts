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
import { CAPABILITIES } from './capabilities.ts';
import { openConsole } from './console-channel.ts';
import { type KvmChoice, kvmObstacle } from './kvm.ts';
import { agentSocket, consoleLog, isProgram, pathsOf } from './layout.ts';
import { violationsOf } from './limits.ts';
import { needsOf } from './needs.ts';
import { cloudHypervisorProgram } from './program.ts';
import { remarksOf } from './remarks.ts';
import { type TrialOptions, tryCloudHypervisor, type Verdict } from './trial.ts';

export interface CloudHypervisorOptions extends ProviderDeps {
  /** The program, by name or path. */
  readonly binary: string;
  readonly kvm: KvmChoice;
}

/** One that does not work is tried again when it is asked for after so long: what it lacks may be another file. */
const DOUBT_MS = 5_000;

/** Cloud Hypervisor. It is tried when this is made, when its file is another, and after a start that failed. */
export async function createCloudHypervisor(options: CloudHypervisorOptions): Promise<Vmm> {
  const { binary, files, processes, run, converse, log, clock } = options;
  const channels = new OwnedChannels();
  const supervisor = new Supervisor(cloudHypervisorProgram(binary, { run, files, clock }), options);
  const kvm: TrialOptions['kvm'] = (limits) => kvmObstacle({ run, files }, options.kvm, limits);
  let told = '';
  /** Of what was warned last: once. */
  let warned: string | undefined;
  const trial = new Tried<Verdict>({
    attempt: async () => {
      const verdict = await tryCloudHypervisor({ binary, path: options.path, run, files, kvm });
      const why = verdict.works ? '' : verdict.why;
      if (why !== told) {
        if (why === '') log.info('Cloud Hypervisor can be used now', { version: verdict.version });
        else log.info('Cloud Hypervisor cannot be used', { why });
      }
      if (verdict.works && verdict.caution !== undefined && verdict.caution !== warned) log.warn(verdict.caution);
      if (verdict.works) warned = verdict.caution;
      told = why;
      return verdict;
    },
    stamp: async () => (await findProgram(files, options.path, binary))?.stamp ?? '',
    isGood: ({ works }) => works,
    doubtMs: DOUBT_MS,
    clock,
  });
  void trial.verdict().catch(() => undefined); // whoever asks next is told

  const working = async (verdict: Promise<Verdict>): Promise<Extract<Verdict, { works: true }>> => {
    const found = await verdict;
    if (found.works) return found;
    throw new Fault('refused', found.why, { reason: 'ProviderUnavailable' });
  };

  const begin = async (config: VmmConfig, launch: Launch, signal: AbortSignal): Promise<RunningVmm> => {
    const { program, stays } = await orAborted(working(trial.verdict()), signal);
    try {
      return await launch(startArgv(config, { binary: program, stays }));
    } catch (error) {
      // Perhaps it is not this microVM.
      if (!signal.aborted && error instanceof Fault) await orAborted(working(trial.again()), signal);
      throw error;
    }
  };

  return {
    name: 'cloudhypervisor',
    capabilities: CAPABILITIES,

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
        ],
        features: CAPABILITIES,
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
