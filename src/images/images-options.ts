import type { Acts } from '../ports/acts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files, Run } from '../ports/host.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';
import type { Meter } from '../ports/meter.ts';
import type { AskRegistry } from '../ports/registries.ts';
import type { Bounds } from './bounds.ts';
import type { Platform } from './manifest.ts';

export interface ImagesOptions {
  /** Ours alone, absolute, without `:` in it; trees, disk images and what is on its way. */
  readonly directory: string;
  /** Absolute; local references must lie under one of them. Empty: there are none. */
  readonly imageRoots: readonly string[];
  readonly run: Run;
  readonly files: Files;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  /** `HOST` or `HOST:PORT`, as in references. */
  readonly insecureRegistries: readonly string[];
  /** Credentials, in the format that Docker and Podman share. */
  readonly authFile?: string;
  /** What skopeo gets of the operator's environment. Default: nothing. */
  readonly registryEnvironment?: Readonly<Record<string, string>>;
  /** Asks whether a tag still leads where it led. Default: skopeo does. */
  readonly ask?: AskRegistry;
  /** Of this host, as the OCI calls it. Default: from `process`. */
  readonly platform?: Platform;
  /** From the first to the last byte. Default: 30 minutes. */
  readonly pullTimeoutMs?: number;
  /** A pull that gets no byte for so long is given up. Default: 60 s. */
  readonly stallTimeoutMs?: number;
  /** For the digest of a reference. Default: 30 s. */
  readonly lookupTimeoutMs?: number;
  /** For unpacking, and for making a disk image. Default: 30 minutes. */
  readonly diskTimeoutMs?: number;
  /** Work that would leave less free on the disk is ended. Default: 256 MiB. */
  readonly keepFreeBytes?: number;
  /** What an image may unpack to. */
  readonly bounds?: Bounds;
  /** Default: none. */
  readonly acts?: Acts;
  readonly meter?: Meter;
}
