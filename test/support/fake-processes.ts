import { setImmediate as turn } from 'node:timers/promises';
import type { Capabilities } from '../../src/domain/capabilities.ts';
import { Fault } from '../../src/domain/fault.ts';
import type { Cgroups } from '../../src/ports/cgroups.ts';
import type { Processes, ProcessInfo } from '../../src/ports/host.ts';
import type { RunningVmm, Vmm, VmmConfig, VmmInfo } from '../../src/ports/vmm.ts';
import { type Caller, type FakeProcess, type FakeWorld, VMM_PROGRAM } from './fake-world.ts';

const never = <T>(): Promise<T> => new Promise(() => undefined);

export function fakeProcesses(world: FakeWorld, caller: Caller): Processes {
  const signal = new AbortController().signal;
  const infoOf = ({ identity, argv }: FakeProcess): ProcessInfo => ({ ...identity, argv, exe: '', zombie: false });
  return {
    start: () => {
      throw new Error('unexpected: start');
    },
    moveInto: () => {
      throw new Error('unexpected: moveInto');
    },
    async inspect({ pid }) {
      const process = world.processes.get(pid);
      return process && infoOf(process);
    },
    async find(match) {
      await turn();
      return [...world.processes.values()].filter((p) => match(p.argv)).map(infoOf);
    },
    signal: ({ pid }, isOurs) =>
      world.act(caller, 'fix process', signal, () => {
        const process = world.processes.get(pid);
        if (!process || !isOurs(process.argv)) return false;
        world.kill(pid, { reason: 'VmmKilled', message: 'ended by SIGKILL' });
        return true;
      }),
    ended: async () => undefined,
    bootId: async () => world.bootId,
    oomCounter: async () => undefined,
  };
}

export function fakeCgroups(world: FakeWorld, caller: Caller): Cgroups {
  const signal = new AbortController().signal;
  return {
    of: (uid, { memoryInMb }) => [
      { parent: '/cgroups/ours', directory: `/cgroups/ours/${uid}`, set: { max: String(memoryInMb) }, enable: [] },
    ],
    make: (intents, limited) =>
      world.act(caller, 'cgroup', limited, () => {
        for (const { directory } of intents) {
          if (!world.cgroups.has(directory)) world.come(caller, 'cgroup', directory);
          world.cgroups.add(directory);
        }
      }),
    remove: (intents) =>
      world.act(caller, 'undo cgroup', signal, () => {
        for (const { directory } of intents) world.cgroups.delete(directory);
      }),
    async list() {
      await turn();
      return [...world.cgroups].map((directory) => ({ parent: '/cgroups/ours', directory }));
    },
  };
}

/** Everything, and much of it. */
export const FAKE_CAPABILITIES: Capabilities = {
  machine: 'The fake machine',
  diskFormats: ['qcow2', 'raw'],
  interfaceTypes: ['TAP', 'MACVTAP'],
  ...{ pause: true, rebootInPlace: true, powerButton: true, consoleInput: true, snapshot: false },
  channels: ['console', 'agent'],
  balloon: true,
  mmds: true,
  limits: {
    vcpu: { most: 64, note: 'by chance' },
    memoryInMb: { least: 32, most: 4_096 },
    ...{ disks: 16, interfaces: 8 },
    devices: { most: 20 },
  },
};

export function fakeVmm(world: FakeWorld, caller: Caller): Vmm {
  const sockets = ({ runDirectory }: Pick<VmmConfig, 'runDirectory'>): string[] => [`${runDirectory}/qmp.sock`];
  const consolePath = ({ stateDirectory }: Pick<VmmConfig, 'stateDirectory'>): string =>
    `${stateDirectory}/console.log`;
  /** Whom this daemon watches: who is started or taken over again is the same. */
  const watched = new Map<FakeProcess, RunningVmm>();
  const watch = (process: FakeProcess): RunningVmm => {
    const running = watched.get(process) ?? watchAnew(process);
    watched.set(process, running);
    return running;
  };
  const watchAnew = (process: FakeProcess): RunningVmm => {
    let released = false;
    return {
      process: process.identity,
      accelerator: 'tcg',
      get guest() {
        return process.guest;
      },
      onGuest(changed) {
        process.listeners.add(() => {
          if (!released && !caller.dead) changed(process.guest);
        });
      },
      get bootedAt() {
        return process.bootedAt;
      },
      onBoot(begun) {
        process.bootListeners.add(() => {
          if (!released && !caller.dead) begun();
        });
      },
      signs: async () => ({ consoleBytes: 1 }),
      advice: 'Try another kernel',
      ended: process.ended.then((end) => (caller.dead || released ? never() : end)),
      release() {
        released = true;
        watched.delete(process);
      },
      pressPower: (signal) =>
        world.act(caller, 'press power', signal, () => {
          if (!world.acpi) return false;
          const { pid } = process.identity;
          if (world.obeysPower) world.kill(pid, { reason: 'GuestShutdown', message: 'The guest powered itself off' });
          return true;
        }),
      reboot: (_patience, signal) => world.act(caller, 'reboot', signal, () => undefined),
      pause: (signal) => world.act(caller, 'pause', signal, () => world.say(process.identity.pid, 'paused')),
      resume: (signal) => world.act(caller, 'resume', signal, () => world.say(process.identity.pid, 'running')),
      setMetadata: (data, signal) =>
        world.act(caller, 'metadata of a VMM', signal, () => void world.answered.set(process.argv[1] ?? '', data)),
    };
  };
  const info: VmmInfo = {
    name: 'qemu',
    version: '1',
    accelerator: 'tcg',
    program: 'qemu-system-x86_64',
    acceleratorReason: 'a fake',
    available: true,
    unavailableReason: '',
    capabilities: [],
    features: FAKE_CAPABILITIES,
  };
  return {
    name: 'qemu',
    capabilities: FAKE_CAPABILITIES,
    info: async () =>
      world.available ? info : { ...info, available: false, unavailableReason: 'it is not installed; install it' },
    check: () => world.violations,
    remarks: () => ({ chosen: [], warnings: [] }),
    needs: ({ vcpu, memoryInMb }) => ({ memoryInMb: memoryInMb + 100, tasks: vcpu + 10 }),
    async start(config, signal, before) {
      const running = await world.act(caller, 'vmm', signal, () => {
        const [pid] = world.vmmsOf(config.uid);
        const running = pid === undefined ? undefined : world.processes.get(pid);
        if (running) return watch(running);
        world.come(caller, 'process', config.uid);
        for (const path of [...sockets(config), consolePath(config)]) world.addPath(path, 'file');
        if (config.metadata) world.answered.set(config.uid, config.metadata.data);
        return watch(world.startProcess([VMM_PROGRAM, config.uid, config.stateDirectory]));
      });
      try {
        await before?.(running.process);
      } catch (error) {
        running.release();
        world.kill(running.process.pid, { reason: 'VmmKilled', message: 'ended by SIGKILL' });
        for (const path of sockets(config)) world.removePath(path);
        throw error;
      }
      return running;
    },
    adopt: (_config, { pid }, signal) =>
      world.act(caller, 'adopt', signal, () => {
        const process = world.processes.get(pid);
        return process ? watch(process) : { reason: 'VmmVanished', message: 'it was gone when the daemon came back' };
      }),
    openChannel: async () => {
      throw new Fault('refused', 'A fake VMM has no console to type on');
    },
    stop: (config, process, signal) =>
      world.act(caller, 'undo vmm', signal, () => {
        const pids = process ? [process.pid] : world.vmmsOf(config.uid);
        for (const pid of pids) world.kill(pid, { reason: 'VmmKilled', message: 'ended by SIGKILL' });
        for (const path of sockets(config)) world.removePath(path);
      }),
    isProgram: (argv) => argv[0] === VMM_PROGRAM,
    consolePath,
    paths: (config) => [...sockets(config), consolePath(config)],
  };
}
