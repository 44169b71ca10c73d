import { wantsAgent } from '../../domain/agent-report.ts';
import { wantsBalloon } from '../../domain/common-options.ts';
import { diskSerials } from '../../domain/disk-serials.ts';
import type { VmmConfig, VmmDisk, VmmNic } from '../../ports/vmm.ts';
import { roomFor } from '../supervisor/agent-place.ts';
import type { PacketCounter } from '../supervisor/packets.ts';
import { devicesBesideAgent } from './capabilities.ts';
import { agentSocket, consoleLog, consoleSocket, guestCid, identifyingArguments, optionValue } from './layout.ts';
import { isByVsock } from './options.ts';

export interface Machine {
  /** The program, by name or path. */
  readonly binary: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly acpi: boolean;
  readonly userSwitch: UserSwitch;
  /** Absent: QEMU's own choice. */
  readonly firmware?: Firmware;
}

/**
 * How QEMU is told to become another user, newest first: `-runas` is gone in QEMU 10, `-run-with` has a `user` since 9.1.
 * Which one a program has is found by trying: see `trial.ts`.
 */
export const USER_SWITCHES = ['run-with', 'runas'] as const;
export type UserSwitch = (typeof USER_SWITCHES)[number];

/**
 * What starts the kernel. QEMU's own choice may be SeaBIOS (Debian 13's is), which puts the ACPI tables into the last page of
 * the memory, where QEMU has put the end of the initrd: one size of initrd in five overwrites them, and that guest
 * hangs without a word. qboot keeps them below 1 MiB.
 */
export const FIRMWARE = 'qboot.rom';
export type Firmware = typeof FIRMWARE;

/**
 * What QEMU can have of root's capabilities before it becomes another user, and loses those too: to plug itself into
 * taps and open what is root's alone, and to change its user.
 */
const CAPABILITIES = '-all,+net_admin,+dac_override,+setuid,+setgid';

/**
 * The whole command line that starts a microVM. QEMU begins as root, opens
 * taps, disks and sockets, and then becomes the microVM's own user; setpriv
 * takes away before that all ways to gain rights by a program, which QEMU's
 * own `elevateprivileges=deny` cannot do together with a change of user, and most of
 * root's capabilities.
 *
 * @param cmdline - the kernel's, merged
 */
export function qemuArgv(config: VmmConfig, machine: Machine, cmdline: string): [string, ...string[]] {
  const { name, qmp } = identifyingArguments(config);
  const { binary, accelerator, acpi, userSwitch, firmware } = machine;
  const serials = diskSerials(config.disks.map(({ id }) => id));
  return [
    'setpriv',
    '--no-new-privs',
    `--bounding-set=${CAPABILITIES}`,
    binary,
    ...['-name', name],
    ...['-machine', `microvm,acpi=${acpi ? 'on' : 'off'}`],
    ...(firmware === undefined ? [] : ['-bios', firmware]),
    ...['-accel', accelerator],
    ...['-cpu', accelerator === 'kvm' ? 'host' : EMULATED_CPU],
    ...['-smp', String(config.vcpu)],
    ...['-m', `${config.memoryInMb}M`],
    ...['-nodefaults', '-no-user-config'],
    ...['-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,spawn=deny,resourcecontrol=deny'],
    ...userArguments(userSwitch, config.user),
    // A reboot resets the machine in place, power-off and panic end the process.
    ...['-action', 'reboot=reset,shutdown=poweroff,panic=shutdown'],
    ...['-chardev', qmp, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=console,path=${optionValue(consoleSocket(config))},server=on,wait=off${logTo(config)}`],
    ...['-serial', 'chardev:console'],
    ...['-kernel', config.kernel],
    ...(config.initrd === undefined ? [] : ['-initrd', config.initrd]),
    ...['-append', cmdline],
    ...['-device', 'virtio-rng-device'],
    // Without ACPI the guest cannot find it.
    ...(acpi ? ['-device', 'pvpanic'] : []),
    ...config.disks.flatMap((disk, i) => diskArguments(disk, i, serials[i] ?? disk.id)),
    ...config.nics.flatMap((nic, i) => nicArguments(nic, i, openNodes(config))),
    // The last ones: where the others are found does not change with them.
    ...(hasAgentPort(config, acpi) ? agentArguments(config) : []),
    ...(wantsBalloon(config.options ?? {}) ? ['-device', 'virtio-balloon-device,free-page-reporting=on'] : []),
  ];
}

/**
 * All that can be emulated, but for the promise that copies by bytes are the fastest: emulated they go byte for byte, and a kernel
 * that is not promised it copies eight at once. See ADR 0062.
 */
const EMULATED_CPU = 'max,-erms,-fsrm';

/** Whether there is a port or a vsock for the guest's agent: asked for by name there must be room, see `limits.ts`. */
const hasAgentPort = ({ options = {}, disks, nics }: VmmConfig, acpi: boolean): boolean =>
  wantsAgent(options) && disks.length + nics.length <= roomFor(options, devicesBesideAgent(acpi));

/** By this name the agent finds its port. */
const AGENT_PORT = 'flintlock.agent';

function agentArguments(config: VmmConfig): readonly string[] {
  if (isByVsock(config)) return ['-device', `vhost-vsock-device,guest-cid=${guestCid(config)}`];
  return [
    ...['-chardev', `socket,id=agent,path=${optionValue(agentSocket(config))},server=on,wait=off`],
    // Port 0 is a console's by the virtio specification, section 5.3.
    ...['-device', 'virtio-serial-device,max_ports=2'],
    ...['-device', `virtserialport,chardev=agent,name=${AGENT_PORT}`],
  ];
}

const userArguments = (how: UserSwitch, user: number): readonly string[] =>
  how === 'run-with' ? ['-run-with', `user=${user}:${user}`] : ['-runas', `${user}:${user}`];

/** Whether a machine that was started so has a power button. */
export const hasAcpi = (argv: readonly string[]): boolean => argv.includes('microvm,acpi=on');

/** @param argv - that it was started with */
export const packetCounters = ({ nics }: Pick<VmmConfig, 'nics'>, argv: readonly string[]): readonly PacketCounter[] =>
  nics.map(({ device }, i) => ({
    device,
    counts: argv.some((word) => word.startsWith(`tap,id=net${i},fd=`)) ? 'sent' : 'received',
  }));

const logTo = (config: VmmConfig): string => `,logfile=${optionValue(consoleLog(config))},logappend=on`;

/** Every format is written out and every layer named, so that QEMU never reads what a file says it is. */
function diskArguments(disk: VmmDisk, index: number, serial: string): readonly string[] {
  const file = (node: string, path: string, readOnly: boolean): readonly string[] => [
    '-blockdev',
    JSON.stringify({
      driver: 'file',
      'node-name': node,
      filename: path,
      'read-only': readOnly,
      ...(readOnly ? {} : { discard: 'unmap' }),
    }),
  ];
  const backing = disk.format === 'qcow2' ? disk.backing : undefined;
  return [
    ...(backing === undefined
      ? []
      : [
          ...file(`backing-file${index}`, backing, true),
          '-blockdev',
          JSON.stringify({
            driver: 'raw',
            'node-name': `backing${index}`,
            'read-only': true,
            file: `backing-file${index}`,
          }),
        ]),
    ...file(`file${index}`, disk.path, disk.readOnly),
    '-blockdev',
    JSON.stringify({
      driver: disk.format,
      'node-name': `disk${index}`,
      'read-only': disk.readOnly,
      file: `file${index}`,
      ...(disk.readOnly ? {} : { discard: 'unmap' }),
      // null: whatever the file names as its backing file is not opened.
      ...(disk.format === 'qcow2' ? { backing: backing === undefined ? null : `backing${index}` } : {}),
    }),
    '-device',
    JSON.stringify({ driver: 'virtio-blk-device', drive: `disk${index}`, serial }),
  ];
}

/** The files that QEMU must find open as its descriptors 3, 4, …: its user may open no device. */
export const openNodes = ({ nics }: Pick<VmmConfig, 'nics'>): readonly string[] =>
  nics.flatMap(({ node }) => (node === undefined ? [] : [node]));

/** The first descriptor behind standard input, output and error. */
const FIRST_OPEN = 3;

/** What QEMU knows the host's side of an interface by. */
export const netdevOf = (index: number): string => `net${index}`;

function nicArguments(nic: VmmNic, index: number, open: readonly string[]): readonly string[] {
  const way =
    nic.node === undefined
      ? `ifname=${optionValue(nic.device)},script=no,downscript=no`
      : `fd=${FIRST_OPEN + open.indexOf(nic.node)}`;
  return [
    '-netdev',
    `tap,id=${netdevOf(index)},${way}`,
    '-device',
    JSON.stringify({
      driver: 'virtio-net-device',
      netdev: netdevOf(index),
      mac: nic.mac,
      ...(nic.mtu !== undefined && nic.mtu !== 1_500 && { host_mtu: nic.mtu }),
    }),
  ];
}
