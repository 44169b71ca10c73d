import { hostnameOf } from '../domain/guest-name.ts';
import { isBase64, withoutLineEnds } from '../domain/metadata-rules.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { GuestNic } from '../domain/network-config.ts';
import type { Metadata, VolumeSpec } from '../domain/spec.ts';

/** Of what a microVM's metadata is made. */
export interface MetadataSource {
  readonly uid: string;
  /** As in the spec. */
  readonly metadata: Metadata;
  readonly volumes: readonly VolumeSpec[];
  /** In the guest's order. */
  readonly nics: readonly GuestNic[];
  /** What the guest is called where its metadata does not say. */
  readonly hostname?: string;
}

/**
 * A value of a spec's metadata. What is no base64 passed the surface for today's
 * clients, which serves it as it is.
 */
export const decoded = (value: string): Buffer =>
  isBase64(value) ? Buffer.from(withoutLineEnds(value), 'base64') : Buffer.from(value);

/** @param nics - as the guest is told of them elsewhere */
export function sourceOf(
  { uid, spec, allocation }: MicroVm,
  metadata: Metadata,
  nics: readonly GuestNic[],
): MetadataSource {
  return { uid, metadata, volumes: spec.volumes, nics, hostname: hostnameOf({ uid, spec, allocation }) };
}
