import { wantsBalloon } from '../../domain/common-options.ts';
import { diskSerials } from '../../domain/disk-serials.ts';
import type { VmmConfig, VmmNic } from '../../ports/vmm.ts';
import { GUEST_CID } from '../supervisor/hybrid-vsock.ts';
import { AGENT_SOCKET } from './layout.ts';
import { openedFor } from './opened.ts';

/**
 * The body of `vm.create`: the whole machine but its interfaces, which come with a descriptor each. What is not named here
 * is as Cloud Hypervisor has it by default; the type of a disk always is, so that it never reads what a file says it is,
 * and the guest may write to the first sector. That a disk has another below it must be allowed by name, too.
 *
 * @param cmdline - the kernel's, merged
 * @param isConfined - it shuts itself out of every file but these, by Landlock
 * @see https://github.com/cloud-hypervisor/cloud-hypervisor/blob/main/vmm/src/api/openapi/cloud-hypervisor.yaml VmConfig
 */
export function machineOf(config: VmmConfig, cmdline: string, isConfined: boolean) {
  const opened = openedFor(config);
  const at = (what: (typeof opened)[number]['is']) => opened.filter(({ is }) => is === what).map((one) => one.at);
  const [kernel] = at('kernel');
  const [initramfs] = at('initrd');
  const [agent] = at('agent');
  const disks = at('disk');
  const serials = diskSerials(config.disks.map(({ id }) => id));
  return {
    cpus: { boot_vcpus: config.vcpu, max_vcpus: config.vcpu },
    memory: { size: config.memoryInMb * 2 ** 20 },
    payload: { kernel, cmdline, ...(initramfs !== undefined && { initramfs }) },
    disks: config.disks.map(({ readOnly, format, backing }, i) => ({
      path: disks[i],
      readonly: readOnly,
      image_type: format === 'raw' ? 'Raw' : 'Qcow2',
      // With several queues version 53 gives away what another queue still frees.
      ...(format === 'qcow2' && { num_queues: 1 }),
      ...(format === 'qcow2' && backing !== undefined && { backing_files: true }),
      ...(serials[i] !== '' && { serial: serials[i] }),
    })),
    rng: { src: '/dev/urandom' },
    ...(agent !== undefined && { vsock: { cid: GUEST_CID, socket: `${agent}/${AGENT_SOCKET}` } }),
    ...(wantsBalloon(config.options ?? {}) && {
      balloon: { size: 0, deflate_on_oom: true, free_page_reporting: true },
    }),
    // Its standard output, which is the console's file; and its standard input, which is a terminal.
    serial: { mode: 'Tty' },
    console: { mode: 'Off' },
    pvpanic: true,
    watchdog: false,
    // Of what it is to open it finds out itself all that stands here; what an overlay names does not.
    ...(isConfined && {
      landlock_enable: true,
      landlock_rules: at('base').map((path) => ({ path, access: 'r' })),
    }),
  };
}

export type Machine = ReturnType<typeof machineOf>;

/** How the interfaces are called that were made of a macvtap's device: told by it, whoever made them. */
const NODE = 'macvtap';

/**
 * The body of `vm.add-net`. The guest is told the MTU that the device has: its own field would have it set, which its user
 * may not.
 */
export const interfaceOf = ({ mac, node }: VmmNic, index: number) => ({
  id: `${node === undefined ? 'tap' : NODE}${index}`,
  mac,
});

/** Which of a machine's interfaces are macvtaps, in their order. @param config - as `vm.info` has it */
export function macvtapsIn(config: unknown): readonly boolean[] {
  const nets = isObject(config) && Array.isArray(config.net) ? config.net : [];
  return nets.map((net: unknown) => isObject(net) && typeof net.id === 'string' && net.id.startsWith(NODE));
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
