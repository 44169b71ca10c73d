import { resolve } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { type Command, InvalidArgumentError } from 'commander';
import { parseSize } from '../base/quantity.ts';
import {
  ImagePull_Policy,
  KernelSchema,
  type MicroVMSpec,
  MicroVMSpecSchema,
  type NetworkInterface,
  NetworkInterface_IfaceType,
  NetworkInterfaceSchema,
  type PublishedPort,
  PublishedPortSchema,
  MicroVMSpec_RestartPolicy as RestartPolicy,
  type Volume,
  VolumeSchema,
  VolumeSourceSchema,
} from '../gen/types/microvm_pb.ts';
import { EXIT, Problem } from './exit.ts';

/** What of a spec is given by flags; see `addSpecFlags`. */
export interface SpecFlags {
  readonly namespace?: string;
  readonly vcpu?: number;
  /** MiB. */
  readonly memory?: number;
  readonly kernelImage?: string;
  readonly kernelFile?: string;
  readonly cmdline?: string;
  readonly initrdImage?: string;
  readonly initrdFile?: string;
  readonly root?: Volume;
  readonly volume?: readonly Volume[];
  readonly nic?: readonly NetworkInterface[];
  readonly publish?: readonly PublishedPort[];
  readonly label?: Readonly<Record<string, string>>;
  readonly provider?: string;
  readonly providerOption?: Readonly<Record<string, string>>;
  readonly restart?: RestartPolicy;
  readonly pull?: ImagePull_Policy;
}

/** Adds the flags that every verb that makes a microVM takes. */
export function addSpecFlags(command: Command): Command {
  return command
    .option('-n, --namespace <name>', 'its namespace (default: "default")')
    .option('--vcpu <count>', 'virtual CPUs', parseCount)
    .option('--memory <size>', 'memory: 512M, 2G, or a number of MiB', parseMemory)
    .option('--kernel-image <image>', 'the image with the kernel', imageOf)
    .option('--kernel-file <name>', "the kernel's file in that image (default: well-known names are tried)")
    .option('--cmdline <text>', "added to the kernel's command line")
    .option('--initrd-image <image>', 'the image with the initrd', imageOf)
    .option('--initrd-file <name>', "the initrd's file in that image (default: initrd)")
    .option(
      '--volume <id=image[,ro]>',
      'a further disk; also ,mount=/PATH and ,size=SIZE (repeatable)',
      many(parseVolume),
    )
    .option('--nic <name[,mac=MAC]>', 'a network interface; also ,address=IP and ,macvtap (repeatable)', many(parseNic))
    .option(
      '--publish <host:guest[/tcp|udp]>',
      'a port of the host, IP:PORT or PORT, that leads to one of the first interface (repeatable)',
      many(parsePublish),
    )
    .option('--label <key=value>', 'a label (repeatable)', parseLabel)
    .option('--provider <name>', "the VMM (default: the daemon's)")
    .option(
      '--provider-option <key=value>',
      "an option of the VMM's own, see docs/reference/providers.md (repeatable)",
      parseProviderOption,
    )
    .option(
      '--restart <policy>',
      'what follows its end: on-failure (a death), always (a power-off too) or never',
      parseRestart,
    )
    .option(
      '--pull <policy>',
      "when registries are asked: always (where each tag leads), missing (what is not in the cache) or never (default: the daemon's)",
      parsePull,
    );
}

/** A root volume's flag: the image, and how it is used. */
export const parseRoot = (text: string): Volume => parseDisk('root', true, text);

/**
 * The spec that flags ask for.
 * @param name - `[NAMESPACE/]ID`; absent: the daemon makes one
 * @throws Problem `usage`
 */
export function specOf(name: string | undefined, flags: SpecFlags): MicroVMSpec {
  const parts = name?.split('/') ?? [''];
  const id = parts.at(-1) ?? '';
  const namespace = parts.length > 1 ? parts[0] : flags.namespace;
  if (parts.length > 2 || (name !== undefined && (id === '' || parts[0] === '')))
    throw new Problem(EXIT.usage, `"${name}" is no name of a microVM: write ID or NAMESPACE/ID`);
  if (parts.length > 1 && flags.namespace !== undefined && flags.namespace !== parts[0])
    throw new Problem(EXIT.usage, `The namespace is ${parts[0]} in "${name}" and ${flags.namespace} in --namespace`);
  const [first, ...others] = flags.nic ?? [];
  if (flags.publish && !first)
    throw new Problem(EXIT.usage, '--publish leads to an interface: give one, for instance --nic eth0');
  const { kernelFile, initrdFile } = flags;
  if (initrdFile !== undefined && flags.initrdImage === undefined)
    throw new Problem(EXIT.usage, '--initrd-file names a file in an image: give --initrd-image too');
  return create(MicroVMSpecSchema, {
    id,
    namespace: namespace ?? '',
    labels: { ...flags.label },
    vcpu: flags.vcpu ?? 0,
    memoryInMb: flags.memory ?? 0,
    kernel: create(KernelSchema, {
      image: flags.kernelImage ?? '',
      cmdline: flags.cmdline ?? '',
      ...(kernelFile !== undefined && { filename: kernelFile }),
    }),
    ...(flags.initrdImage !== undefined && {
      initrd: { image: flags.initrdImage, ...(initrdFile !== undefined && { filename: initrdFile }) },
    }),
    volumes: [...(flags.root ? [flags.root] : []), ...(flags.volume ?? [])],
    interfaces: first
      ? [create(NetworkInterfaceSchema, { ...first, publishedPorts: [...(flags.publish ?? [])] }), ...others]
      : [],
    provider: flags.provider ?? '',
    providerOptions: { ...flags.providerOption },
    restartPolicy: flags.restart ?? RestartPolicy.ON_FAILURE,
    pullPolicy: flags.pull ?? ImagePull_Policy.DEFAULT,
  });
}

function many<T>(parse: (text: string) => T): (text: string, before: readonly T[] | undefined) => readonly T[] {
  return (text, before = []) => [...before, parse(text)];
}

/** An image as the daemon takes it: a local one by its absolute path. */
export function imageOf(text: string): string {
  // No path has a ":" (src/images/reference.ts), and a digest stands behind an "@".
  const [, scheme, path, tag] =
    /^(oci|oci-archive|docker-archive):([^:]+?)(:.*|@sha(?:256|512):[a-f0-9]{64,128})?$/s.exec(text) ?? [];
  return scheme === undefined || path === undefined ? text : `${scheme}:${resolve(path)}${tag ?? ''}`;
}

const RESTART = new Map([
  ['on-failure', RestartPolicy.ON_FAILURE],
  ['always', RestartPolicy.ALWAYS],
  ['never', RestartPolicy.NEVER],
]);

function parseRestart(text: string): RestartPolicy {
  const policy = RESTART.get(text);
  if (policy === undefined) throw new InvalidArgumentError(`Write ${[...RESTART.keys()].join(', ')}.`);
  return policy;
}

const PULL = new Map([
  ['always', ImagePull_Policy.ALWAYS],
  ['missing', ImagePull_Policy.MISSING],
  ['never', ImagePull_Policy.NEVER],
]);

function parsePull(text: string): ImagePull_Policy {
  const policy = PULL.get(text);
  if (policy === undefined) throw new InvalidArgumentError(`Write ${[...PULL.keys()].join(', ')}.`);
  return policy;
}

function parseCount(text: string): number {
  if (!/^\d{1,4}$/.test(text) || Number(text) === 0)
    throw new InvalidArgumentError('Write a number of CPUs, at least 1.');
  return Number(text);
}

/** @returns MiB */
export function parseMemory(text: string): number {
  const mib = (parseSize(text, 'M') ?? Number.NaN) / 2 ** 20;
  if (!Number.isInteger(mib) || mib < 1 || mib >= 2 ** 31)
    throw new InvalidArgumentError('Write for instance 512M, 2G, or a number of MiB.');
  return mib;
}

/** `image`, with `,ro`, `,mount=` and `,size=` behind it. */
function parseDisk(id: string, isRoot: boolean, text: string): Volume {
  const parts = text.split(',');
  const volume = create(VolumeSchema, { id, isRoot });
  for (let last = parts.at(-1) ?? ''; parts.length > 1; last = parts.at(-1) ?? '') {
    const [, key, value = ''] = /^(ro|mount|size)(?:=(.+))?$/.exec(last) ?? [];
    if (key === 'ro' && value === '') volume.isReadOnly = true;
    else if (key === 'mount' && value !== '') volume.mountPoint = value;
    else if (key === 'size' && value !== '') volume.sizeInMb = parseMemory(value);
    else throw new InvalidArgumentError(`Behind an image may stand ,ro ,mount=/PATH and ,size=SIZE, not ",${last}".`);
    parts.pop();
  }
  const [image = ''] = parts;
  if (image === '') throw new InvalidArgumentError('It names no image.');
  volume.source = create(VolumeSourceSchema, { containerSource: imageOf(image) });
  return volume;
}

function parseVolume(text: string): Volume {
  const [, id = '', rest] = /^([^=,:/]+)=(.+)$/.exec(text) ?? [];
  if (rest === undefined)
    throw new InvalidArgumentError('Write ID=IMAGE, for instance data=oci:/srv/images/data:1,ro.');
  return parseDisk(id, false, rest);
}

/** `eth0`, with `,mac=`, `,address=` and `,macvtap` behind it. */
export function parseNic(text: string): NetworkInterface {
  const [name = '', ...parts] = text.split(',');
  if (name === '') throw new InvalidArgumentError("Write the interface's name in the guest, for instance eth0.");
  const nic = create(NetworkInterfaceSchema, { guestDeviceName: name, type: NetworkInterface_IfaceType.TAP });
  for (const part of parts) {
    const [key = '', value = ''] = part.split('=');
    if (key === 'mac' && value !== '') nic.guestMac = value;
    else if (key === 'address' && value !== '') nic.address = value;
    else if (part === 'macvtap') nic.type = NetworkInterface_IfaceType.MACVTAP;
    else throw new InvalidArgumentError(`Behind the name may stand ,mac=MAC ,address=IP and ,macvtap, not ",${part}".`);
  }
  return nic;
}

function parsePublish(text: string): PublishedPort {
  const [, bracketed, plain, host, guest, protocol = 'tcp'] =
    /^(?:(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? [];
  const ports = [Number(host), Number(guest)];
  if (host === undefined || ports.some((port) => port < 1 || port > 65_535))
    throw new InvalidArgumentError(
      'Write [IP:]HOST_PORT:GUEST_PORT[/tcp|udp], for instance 8080:80 or 127.0.0.1:53:53/udp.',
    );
  const hostIp = bracketed ?? plain ?? '';
  return create(PublishedPortSchema, { hostPort: Number(host), guestPort: Number(guest), protocol, hostIp });
}

function parseLabel(
  text: string,
  before: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at === 0) throw new InvalidArgumentError('Write KEY=VALUE, for instance app=web.');
  return { ...before, [at < 0 ? text : text.slice(0, at)]: at < 0 ? '' : text.slice(at + 1) };
}

function parseProviderOption(
  text: string,
  before: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('Write KEY=VALUE; docs/reference/providers.md has the keys.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
