import type { HealthCheck } from './health.ts';
import type { ProcessSpec } from './process.ts';

/** What the user wants, as it is in the record. Validated, with the defaults filled in: see `validate.ts`. */
export interface Spec {
  /** Unique in its namespace among microVMs that are not gone. */
  readonly id: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly vcpu: number;
  /** MiB. */
  readonly memoryInMb: number;
  readonly kernel: KernelSpec;
  readonly initrd?: FileInImage;
  /** Absent: what runs is the image's to say. */
  readonly process?: ProcessSpec;
  /** Absent: nobody asks. */
  readonly health?: HealthCheck;
  /** In the order of the guest's disks: the root volume, if any, first. */
  readonly volumes: readonly VolumeSpec[];
  readonly interfaces: readonly InterfaceSpec[];
  /** Which metadata it has; absent: none. It is kept apart, for it may have 1 MiB and the record is written often. */
  readonly metadataRef?: MetadataRef;
  /** In a {@link SpecWithMetadata} alone: no record holds the values. */
  readonly metadata?: never;
  /** Its metadata is on a disk, also where interfaces may ask for it: the caller could not say how the guest has it. */
  readonly metadataAnyhow?: true;
  /** Empty: the daemon's default. */
  readonly provider: string;
  readonly restartPolicy: RestartPolicy;
  /** Absent in records of daemons that knew no other than ALWAYS: read it by {@link pullPolicyOf}. */
  readonly pullPolicy?: PullPolicy;
  readonly providerOptions: Readonly<Record<string, string>>;
}

/** Values are base64, as given; raw text where `metadataAnyhow`. */
export type Metadata = Readonly<Record<string, string>>;

/** Of a spec that is written for the first time. */
export const FIRST_GENERATION = 1;

/** Names one writing of a microVM's metadata. */
export interface MetadataRef {
  /** Of the spec, whose write brought it. */
  readonly generation: number;
  /** Of all keys and values, as UTF-8. */
  readonly bytes: number;
}

/** A spec as users write and read it. */
export type SpecWithMetadata = Omit<Spec, 'metadata'> & { readonly metadata: Metadata };

export type RestartPolicy = 'ON_FAILURE' | 'ALWAYS' | 'NEVER';

/**
 * When a registry is asked for an image: ALWAYS, where a tag leads, at each create; MISSING, where the tag led to nothing
 * that is here; NEVER.
 */
export const PULL_POLICIES = ['ALWAYS', 'MISSING', 'NEVER'] as const;
export type PullPolicy = (typeof PULL_POLICIES)[number];

export const pullPolicyOf = ({ pullPolicy = 'ALWAYS' }: Pick<Spec, 'pullPolicy'>): PullPolicy => pullPolicy;

/** A file in an OCI image; without a filename the well-known names are tried. */
export interface FileInImage {
  readonly image: string;
  readonly filename?: string;
}

export interface KernelSpec extends FileInImage {
  readonly cmdline: string;
  readonly addNetworkConfig: boolean;
}

export interface VolumeSpec {
  readonly id: string;
  readonly isRoot: boolean;
  readonly isReadOnly: boolean;
  /** Where the guest mounts it; empty: nowhere (a root volume: `/`). */
  readonly mountPoint: string;
  /** The image reference that it is made from. */
  readonly image: string;
  readonly partitionId?: string;
  /** MiB; absent: what the image needs. */
  readonly sizeInMb?: number;
}

export interface InterfaceSpec {
  /** Its name in the guest, and its key in the status. */
  readonly name: string;
  readonly type: 'TAP' | 'MACVTAP';
  readonly allowMetadata: boolean;
  /** Lower case, with colons. */
  readonly mac?: string;
  /** IPv4, plain or CIDR; absent: DHCP. */
  readonly address?: string;
  /** The router of a static address, with or without a prefix; absent: the network's. */
  readonly gateway?: string;
  /** IPv4 addresses of DNS servers, with a static address; absent: the network's. */
  readonly nameservers?: readonly string[];
  /** A bridge of the host that its TAP is plugged into; absent: the daemon's. */
  readonly bridge?: string;
  readonly publishedPorts: readonly PublishedPort[];
}

/** A port of the host that leads to one of the guest. */
export interface PublishedPort {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** An IPv4 address of the host; empty: every one, loopback included. */
  readonly hostIp: string;
}
