import type { Violation } from './fault.ts';

/**
 * A spec as a surface received it: nothing checked, nothing filled in. Every
 * surface's converter makes this, and `validate.ts` makes a Spec of it.
 * An empty string or 0 is what proto3 sends for a field that was left out.
 */
export interface SpecDraft {
  readonly id: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly vcpu: number;
  readonly memoryInMb: number;
  readonly kernel?: FileDraft & { readonly cmdline: string; readonly addNetworkConfig: boolean };
  readonly initrd?: FileDraft;
  readonly process?: ProcessDraft;
  readonly health?: HealthDraft;
  readonly volumes: readonly VolumeDraft[];
  readonly interfaces: readonly InterfaceDraft[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly provider: string;
  /** `ON_FAILURE`, `ALWAYS`, `NEVER`, or the number of a value that is none of them. */
  readonly restartPolicy: string;
  /** One of the pull policies, or the number of a value that is none; absent or empty: the daemon's default. */
  readonly pullPolicy?: string;
  readonly providerOptions: Readonly<Record<string, string>>;
  /** Names of output-only fields that the caller has set: `uid`, `created_at`, … */
  readonly outputsSet: readonly string[];
  /**
   * The surface cannot say who may ask for metadata, and takes values that are
   * no base64. So it is given in every way there is: by a disk, and by the
   * service to each TAP on the managed network.
   */
  readonly metadataAnyhow?: boolean;
  /** What was sent and has no place in a draft, in API field names. */
  readonly wrong?: readonly Violation[];
}

/** Empty lists and texts: the image's. */
export interface ProcessDraft {
  /** One empty text: none. */
  readonly entrypoint: readonly string[];
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly user: string;
  readonly directory: string;
}

/** What is absent, or 0 for the count, is the default. */
export interface HealthDraft {
  readonly exec: readonly string[];
  readonly http?: { readonly port: number; readonly path: string; readonly headers: Readonly<Record<string, string>> };
  readonly tcp?: { readonly port: number };
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  readonly failures: number;
  readonly startMs?: number;
}

export interface FileDraft {
  readonly image: string;
  readonly filename?: string;
}

export interface VolumeDraft {
  readonly id: string;
  readonly isRoot: boolean;
  readonly isReadOnly: boolean;
  readonly mountPoint: string;
  /** `source.container_source`; absent when it or the source is. */
  readonly image?: string;
  readonly partitionId?: string;
  readonly sizeInMb?: number;
}

export interface InterfaceDraft {
  readonly name: string;
  /** `TAP`, `MACVTAP`, or the number of a value that is neither. */
  readonly type: string;
  readonly allowMetadata: boolean;
  readonly mac?: string;
  readonly address?: string;
  readonly gateway?: string;
  readonly nameservers?: readonly string[];
  readonly bridge?: string;
  readonly publishedPorts: readonly {
    readonly hostPort: number;
    readonly guestPort: number;
    readonly protocol: string;
    readonly hostIp: string;
  }[];
}
