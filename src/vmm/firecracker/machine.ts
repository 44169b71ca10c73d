import { wantsAgent } from '../../domain/agent-report.ts';
import { wantsBalloon } from '../../domain/common-options.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { roomFor } from '../supervisor/agent-place.ts';
import { GUEST_CID } from '../supervisor/hybrid-vsock.ts';
import { besideAgent } from './capabilities.ts';
import { AGENT_SOCKET, type MachinePaths, openPaths } from './layout.ts';
import { optionsOf } from './options.ts';
import { isFrom, type Version, WITH_MTU } from './version.ts';

/** One thing that Firecracker is told of a machine. */
export interface Told {
  /** What it is, for a sentence. */
  readonly what: string;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** The host's files in it, by the names that Firecracker knows them by. */
  readonly files: ReadonlyMap<string, string>;
}

/**
 * All that Firecracker is told of a machine, in the order in which its guest finds disks and interfaces.
 *
 * @param cmdline - the kernel's, merged
 * @param version - absent: it is not known
 * @param paths - where it finds the host's files
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/src/firecracker/swagger/firecracker.yaml
 */
export function machineOf(
  config: VmmConfig,
  cmdline: string,
  version?: Version,
  paths: MachinePaths = openPaths(config),
): readonly Told[] {
  const { kernel, initrd, disks } = paths;
  const { smt, hugePages } = optionsOf(config);
  const tellsMtu = version !== undefined && isFrom(version, WITH_MTU);
  const none = new Map<string, string>();
  return [
    {
      what: 'the machine',
      path: '/machine-config',
      body: {
        ...{ vcpu_count: config.vcpu, mem_size_mib: config.memoryInMb, smt },
        ...(hugePages && { huge_pages: '2M' }),
      },
      files: none,
    },
    {
      what: 'the kernel',
      path: '/boot-source',
      body: { kernel_image_path: kernel, ...(initrd !== undefined && { initrd_path: initrd }), boot_args: cmdline },
      files: new Map([
        [kernel, config.kernel],
        ...(initrd === undefined ? [] : [[initrd, config.initrd ?? ''] as const]),
      ]),
    },
    ...config.disks.map(({ id, path, readOnly }, i): Told => {
      const open = disks[i] ?? path;
      return {
        what: `disk "${id}"`,
        // Letters, digits and `_` are all that an id may have.
        path: `/drives/disk${i}`,
        body: {
          drive_id: `disk${i}`,
          path_on_host: open,
          is_read_only: readOnly,
          // Of the root device it would say root= behind our words.
          is_root_device: false,
          // By default what the guest syncs is not on the disk.
          cache_type: readOnly ? 'Unsafe' : 'Writeback',
        },
        files: new Map([[open, path]]),
      };
    }),
    ...config.nics.map(
      ({ device, mac, mtu = 1_500 }, i): Told => ({
        what: `interface ${device}`,
        path: `/network-interfaces/${interfaceId(i)}`,
        body: {
          iface_id: interfaceId(i),
          host_dev_name: device,
          guest_mac: mac,
          ...(tellsMtu && mtu !== 1_500 && { mtu }),
        },
        files: none,
      }),
    ),
    ...(hasAgentWay(config)
      ? [
          {
            what: "the guest agent's vsock",
            path: '/vsock',
            body: { guest_cid: GUEST_CID, uds_path: paths.socket(AGENT_SOCKET) },
            files: none,
          },
        ]
      : []),
    ...metadataOf(config),
    { what: 'the random number generator', path: '/entropy', body: {}, files: none },
    ...(wantsBalloon(config.options ?? {})
      ? [
          {
            what: 'the balloon',
            path: '/balloon',
            body: { amount_mib: 0, deflate_on_oom: true, free_page_reporting: true },
            files: none,
          },
        ]
      : []),
  ];
}

/** Behind the interfaces, which must be there; what it may hold secrets of last. */
const metadataOf = ({ metadata, nics }: VmmConfig): readonly Told[] =>
  metadata === undefined
    ? []
    : [
        {
          what: 'who may ask for metadata',
          path: '/mmds/config',
          body: {
            version: metadata.version.toUpperCase(),
            network_interfaces: nics.flatMap(({ asksMetadata }, i) => (asksMetadata ? [interfaceId(i)] : [])),
          },
          files: new Map(),
        },
        { what: 'metadata', path: '/mmds', body: metadata.data, files: new Map() },
      ];

const interfaceId = (index: number): string => `net${index}`;

/** Whether there is a vsock for the guest's agent: asked for by name there must be room, see `limits.ts`. */
const hasAgentWay = ({ options = {}, disks, nics }: VmmConfig): boolean =>
  wantsAgent(options) && disks.length + nics.length <= roomFor(options, besideAgent(optionsOf({ options })));
