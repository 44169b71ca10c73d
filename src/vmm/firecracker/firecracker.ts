import type { RunningVmm, Vmm, VmmConfig, VmmInfo } from '../../ports/vmm.ts';
import type { ProviderDeps } from '../provider.ts';
import { dialVsock } from '../supervisor/hybrid-vsock.ts';
import { OwnedChannels } from '../supervisor/owned-channels.ts';
import { type Launch, Supervisor } from '../supervisor/supervisor.ts';
import { TriedProgram } from '../supervisor/tried-program.ts';
import { firecrackerArgv } from './argv.ts';
import { CAPABILITIES } from './capabilities.ts';
import { openConsole } from './console-channel.ts';
import type { KvmChoice, lookAtDevices } from './devices.ts';
import { firecrackerProgram } from './firecracker-program.ts';
import { freeHugePagesOf } from './huge-pages.ts';
import { JAILED_WORD, type JailChoice, type JailLook, kibOf, UNJAILED } from './jail.ts';
import { jailedArgv } from './jail-argv.ts';
import { agentSocket, apiSocket, consoleInput, consoleLog, isProgram, metricsPipe, ownLog, vmmLog } from './layout.ts';
import { violationsOf } from './limits.ts';
import { needsOf } from './needs.ts';
import { remarksOf } from './remarks.ts';
import { type FirecrackerVerdict, tryFirecracker } from './trial.ts';

export interface FirecrackerOptions extends ProviderDeps {
  /** The program, by name or path. */
  readonly binary: string;
  /** What is believed of /dev/kvm. */
  readonly kvm: KvmChoice;
  /** The jailer's program, by name or path, and whether it is used. */
  readonly jailer: string;
  readonly jail: JailChoice;
  /** How the host's devices are tried; absent: by opening them. */
  readonly devices?: typeof lookAtDevices;
}

const WORDS = ['initrd', 'disks', 'read-only-disks', 'tap', 'console', 'adopt', 'pause'];

/** Firecracker. It is tried when this is made, when its file is another, and after a start that failed. */
export async function createFirecracker(options: FirecrackerOptions): Promise<Vmm> {
  const { binary, jailer, files, log } = options;
  const channels = new OwnedChannels();
  let toldOfJail = '';
  const tellOfJail = (jailed: JailLook): void => {
    const news = 'jail' in jailed ? `with ${jailed.jail.jailer}` : jailed.why;
    if (news === toldOfJail) return;
    toldOfJail = news;
    if ('jail' in jailed) log.info('Firecracker runs in jails', { jailer: jailed.jail.jailer });
    else if (jailed.isAsked) log.warn('Firecracker runs in no jail', { why: jailed.why, weaker: UNJAILED });
    else log.info('Firecracker runs in no jail', { why: jailed.why });
  };
  const trial = new TriedProgram<FirecrackerVerdict>({
    ...options,
    attempt: () => tryFirecracker(options),
    programs: [binary, jailer],
    tell: (verdict, isNews) => {
      if (verdict.works) {
        if (isNews) log.info('Firecracker works now', { version: verdict.version.text });
        tellOfJail(verdict.jailed);
      } else if (isNews && !verdict.isMissing) log.warn('Firecracker cannot be used', { why: verdict.why });
    },
  });
  const version = () => trial.last?.version;
  const jail = () => {
    const jailed = trial.lastWorking?.jailed;
    return jailed && 'jail' in jailed ? jailed.jail : undefined;
  };
  const supervisor = new Supervisor(firecrackerProgram(binary, { files, version, log, meter: options.meter }), options);

  let freeHugePages: number | undefined;
  const countHugePages = async (): Promise<void> => {
    freeHugePages = await freeHugePagesOf(files);
  };

  const begin = (config: VmmConfig, launch: Launch, signal: AbortSignal): Promise<RunningVmm> =>
    trial.start(signal, ({ groups, jailed }) =>
      launch('jail' in jailed ? jailedArgv(config, jailed.jail) : firecrackerArgv(config, { binary, groups })),
    );

  return {
    name: 'firecracker',
    capabilities: CAPABILITIES,

    async info(): Promise<VmmInfo> {
      const [verdict] = await Promise.all([trial.soon(), countHugePages()]);
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
        capabilities: jail() ? [...WORDS, JAILED_WORD] : WORDS,
        features: CAPABILITIES,
      };
    },

    tried: (signal) => trial.first(signal),
    check: (spec, words, kernel) => violationsOf(spec, words, { kernel, version: version(), freeHugePages }),
    remarks: (spec, kernel) => remarksOf(spec, kernel),
    needs(config) {
      const jailed = jail();
      return needsOf(config, jailed && kibOf(jailed));
    },

    start: (config, signal, before) =>
      supervisor.start(config, signal, (launch) => begin(config, launch, signal), before),
    adopt: (config, identity, signal) => supervisor.adopt(config, identity, signal),
    stop: (config, identity, signal) => supervisor.stop(config, identity, signal),

    isProgram: (argv, exe) => isProgram(binary, argv, exe),
    consolePath: consoleLog,
    openChannel: (config, _kind, signal) =>
      channels.open(config.uid, 'console', () => openConsole(config, files, signal)),
    agentDial: (config) => (port, signal) =>
      dialVsock({ path: agentSocket(config), user: config.user }, port, files, signal),
    paths: (config) => [
      apiSocket(config),
      agentSocket(config),
      consoleInput(config),
      metricsPipe(config),
      consoleLog(config),
      vmmLog(config),
      ownLog(config),
    ],
  };
}
