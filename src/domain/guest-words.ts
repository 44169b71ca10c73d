import { hostnameOf } from './guest-name.ts';
import { type MetadataSpec, metadataBy } from './metadata-rules.ts';
import type { Allocation, MicroVm } from './microvm.ts';
import { type GuestNic, networkConfig } from './network-config.ts';
import type { Spec, VolumeSpec } from './spec.ts';

/**
 * What a guest is told on its kernel's command line, because only it can do it.
 * Each word is there only where the spec needs it:
 *
 * - `flintlock.mount=DEVICE:PATH[:ro]`, one for each volume with a mount point
 *   beside the root, a directory before what lies in it. PATH is percent-encoded.
 * - `flintlock.nic=MAC,NAME[,ADDRESS/PREFIX[,GATEWAY[,DNS…]]]`, one for each
 *   interface, when one of them has a name that the kernel would not give it,
 *   or an address that is not asked for by DHCP.
 * - `network-config=BASE64`, for cloud-init, where the spec asks for it.
 * - `ds=nocloud;dsmode=net;s=http://169.254.169.254/latest/`, for cloud-init,
 *   where an interface may ask for metadata and no disk has it.
 *
 * No word has white space or quotes in it. See {@link identityWords} too.
 */
export function guestWords(
  { kernel, volumes, ...spec }: Pick<Spec, 'kernel' | 'volumes'> & MetadataSpec,
  nics: readonly GuestNic[],
): readonly string[] {
  const metadata = metadataBy(spec);
  return [
    ...guestMounts(volumes).map(mountWord),
    ...helpedNics(nics).map(nicWord),
    ...(kernel.addNetworkConfig ? [`network-config=${btoa(networkConfig(nics))}`] : []),
    ...((metadata.service || metadata.mmds === 'v1') && !metadata.disk ? [DATA_SOURCE] : []),
  ];
}

/** A microVM, as far as its guest is told of it. */
interface Who extends Pick<MicroVm, 'uid' | 'spec'> {
  readonly allocation: Pick<Allocation, 'interfaces'>;
}

/** All words for the guest of a microVM. */
export const wordsForGuest = (vm: Who, nics: readonly GuestNic[]): readonly string[] => [
  ...identityWords({ uid: vm.uid, hostname: hostnameOf(vm) }),
  ...guestWords(vm.spec, nics),
];

/**
 * Who a guest is, so that two of one image are not one: every guest is told.
 *
 * - `systemd.machine_id=`: systemd takes it over what the image has; flintlock-init
 *   and the script in the vendor-data do so for other inits.
 * - `hostname=`: the kernel's own word, since Linux 6.0. Any init names the guest
 *   otherwise where its image does.
 *
 * @param uid - a ULID
 * @param hostname - as in DNS, without the domain
 * @see machine-id(5), kernel-command-line(7)
 */
export const identityWords = ({ uid, hostname }: { readonly uid: string; readonly hostname: string }) =>
  [`systemd.machine_id=${machineId(uid)}`, `hostname=${hostname}`] as const;

/** Crockford's base 32, in which a ULID is written. */
const ULID_DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/**
 * The 128 bits of a uid, in the form that machine-id(5) asks for: version and
 * variant of a random UUID (RFC 9562) take the place of six of its 80 random bits.
 */
export function machineId(uid: string): string {
  let bits = 0n;
  for (const digit of uid.toUpperCase()) bits = (bits << 5n) | BigInt(Math.max(ULID_DIGITS.indexOf(digit), 0));
  const hex = BigInt.asUintN(128, bits).toString(16).padStart(32, '0');
  const variant = (Number.parseInt(hex[16] ?? '0', 16) & 3) | 8;
  return `${hex.slice(0, 12)}4${hex.slice(13, 16)}${variant.toString(16)}${hex.slice(17)}`;
}

/**
 * cloud-init's own word, which its systemd generator knows too: 22.4 takes
 * `nocloud` for a local source without `dsmode`, 24.1 calls `nocloud-net` deprecated.
 *
 * @see https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html
 */
const DATA_SOURCE = 'ds=nocloud;dsmode=net;s=http://169.254.169.254/latest/';

/** How Linux names the n-th virtio disk, from 0. */
export const diskName = (index: number): string => `vd${String.fromCharCode(97 + index)}`;

/** The device that holds the file system of the n-th volume, from 0, without `/dev/`. */
export const fileSystemDevice = ({ partitionId }: Pick<VolumeSpec, 'partitionId'>, index: number): string =>
  `${diskName(index)}${partitionId === undefined ? '' : '1'}`;

/** A volume that the guest is to mount, beside its root. */
export interface GuestMount {
  readonly path: string;
  /** As the guest names it, without `/dev/`. */
  readonly device: string;
  readonly isReadOnly: boolean;
}

/** What the guest is to mount, a directory before what lies in it. */
export function guestMounts(volumes: readonly VolumeSpec[]): readonly GuestMount[] {
  return (
    volumes
      .map((volume, index) => ({ ...volume, device: fileSystemDevice(volume, index) }))
      .filter(({ isRoot, mountPoint }) => !isRoot && mountPoint !== '')
      .map(({ mountPoint, device, isReadOnly }) => ({ path: mountPoint, device, isReadOnly }))
      // Its parents are the beginning of a path, so they come before it.
      .sort((a, b) => (a.path < b.path ? -1 : 1))
  );
}

const mountWord = ({ path, device, isReadOnly }: GuestMount): string =>
  `flintlock.mount=${device}:${percentEncoded(path)}${isReadOnly ? ':ro' : ''}`;

/** All interfaces, where the guest must name one of them or give it its address; else none. */
export const helpedNics = (nics: readonly GuestNic[]): readonly GuestNic[] => (nics.some(needsHelp) ? nics : []);

/** Linux counts the interfaces in the order in which it finds them. */
const needsHelp = ({ name, fixed }: GuestNic, index: number): boolean => name !== `eth${index}` || fixed !== undefined;

function nicWord({ mac, name, fixed }: GuestNic): string {
  const parts = fixed ? [fixed.address, fixed.gateway ?? '', ...fixed.dns] : [];
  while (parts.at(-1) === '') parts.pop();
  return `flintlock.nic=${[mac, name, ...parts].join(',')}`;
}

/** All but what RFC 3986 calls unreserved, and `/`. */
export const percentEncoded = (path: string): string =>
  encodeURIComponent(path)
    .replaceAll('%2F', '/')
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
