import { commonOptionsLack, wantsBalloon } from './common-options.ts';
import type { Violation } from './fault.ts';
import { metadataBy, unaskedMmds } from './metadata-rules.ts';
import type { InterfaceSpec, Spec } from './spec.ts';

export type DiskFormat = 'raw' | 'qcow2';

/** A way into a guest: see `ports/channel.ts`. */
export type ChannelKind = 'console' | 'agent';

/**
 * What a kind of machine can do, and how much of it. One table for each: what a
 * create refuses, `info`, doctor, the reference pages and the conformance suite
 * read it, and nothing else says it again.
 */
export interface Capabilities {
  /** The machine as users know it, for sentences: `QEMU's microvm`. */
  readonly machine: string;
  /** What disks may be, cheapest to copy first. */
  readonly diskFormats: readonly DiskFormat[];
  readonly interfaceTypes: readonly InterfaceSpec['type'][];
  /** Its guest's CPUs can be stopped and go on. */
  readonly pause: boolean;
  /** It can be rebooted without a new process. */
  readonly rebootInPlace: boolean;
  readonly powerButton: boolean;
  /** Its console can be typed on. */
  readonly consoleInput: boolean;
  readonly snapshot: boolean;
  readonly channels: readonly ChannelKind[];
  /** It takes back memory that its guest has freed, where a spec has it so. */
  readonly balloon: boolean;
  /** It answers guests that ask for metadata itself, where a spec has it so: see `metadata-rules.ts`. */
  readonly mmds: boolean;
  readonly limits: {
    /** `note`: by what, to be put behind the number. */
    readonly vcpu: { readonly most: number; readonly note?: string };
    readonly memoryInMb: { readonly least: number; readonly most: number };
    readonly disks: number;
    readonly interfaces: number;
    /** Disks and interfaces together. */
    readonly devices: { readonly most: number; readonly note?: string };
  };
}

/** What of a spec a machine lacks, in API field names; empty: nothing. What its numbers do not say its provider judges. */
export function lacksOf(spec: Spec, capabilities: Capabilities): readonly Violation[] {
  const { machine, interfaceTypes, limits } = capabilities;
  const found: Violation[] = [...commonOptionsLack(spec.providerOptions, capabilities), ...unaskedMmds(spec)];
  const refuse = (field: string, description: string): void => void found.push({ field, description });
  const noted = (note: string | undefined): string => (note === undefined ? '' : ` ${note}`);

  if (!isWithin(spec.vcpu, 1, limits.vcpu.most))
    refuse('vcpu', `is ${spec.vcpu}; ${machine} takes 1 to ${limits.vcpu.most}${noted(limits.vcpu.note)}`);
  const { least, most } = limits.memoryInMb;
  if (!isWithin(spec.memoryInMb, least, most))
    refuse('memory_in_mb', `is ${spec.memoryInMb}; ${machine} takes ${least} to ${most}`);

  spec.interfaces.forEach(({ type }, i) => {
    if (!interfaceTypes.includes(type)) refuse(`interfaces[${i}].type`, `${machine} has no ${type} interfaces`);
  });
  const cidata = metadataBy(spec).disk ? 1 : 0;
  const disks = spec.volumes.length + cidata;
  const interfaces = spec.interfaces.length;
  const withCidata = cidata === 0 ? '' : ', a disk for metadata';
  const balloon = wantsBalloon(spec.providerOptions) ? 1 : 0;
  const room = limits.devices.most - balloon;
  const withBalloon = balloon === 0 ? '' : ' beside a balloon';
  if (disks + interfaces > room)
    refuse(
      spec.volumes.length >= interfaces ? 'volumes' : 'interfaces',
      `there are ${spec.volumes.length} volumes${withCidata} and ${interfaces} interfaces; ` +
        `${machine} has room for ${room} of them together${withBalloon}${noted(limits.devices.note)}`,
    );
  else {
    if (disks > limits.disks)
      refuse(
        'volumes',
        `there are ${spec.volumes.length} volumes${withCidata}; ${machine} has room for ${limits.disks} disks`,
      );
    if (interfaces > limits.interfaces)
      refuse('interfaces', `there are ${interfaces} interfaces; ${machine} has room for ${limits.interfaces}`);
  }
  return found;
}

const isWithin = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most;
