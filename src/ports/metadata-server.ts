import type { MmdsVersion } from '../domain/metadata-rules.ts';
import type { MicroVm } from '../domain/microvm.ts';
import type { GuestNic } from '../domain/network-config.ts';
import type { MetadataTree } from './vmm.ts';

/** Where one microVM's metadata is served. */
export interface ServedAt {
  /** The host's address on the bridge, or a loopback address for macvtaps. */
  readonly address: string;
  /** Who comes in on it is that microVM: the firewall sees to it. */
  readonly port: number;
}

/** Answers guests that ask for their metadata. */
export interface MetadataServer {
  /**
   * Listens for one microVM at an address; twice is the same as once, another port moves it.
   * @throws Fault `conflict` NetworkFailed where another program has the port, `tool` where it cannot be had else
   */
  serve(uid: string, at: ServedAt): Promise<void>;
  /** Not there is success. Whoever is connected is cut off. */
  unserve(uid: string, address: string): Promise<void>;
}

/** What is told of metadata where somebody else answers for it. */
export interface ToldMetadata {
  /** The microVM's as it is now, in the form for a VMM that answers in this version. */
  of(vm: MicroVm, nics: readonly GuestNic[], version: MmdsVersion): MetadataTree;
}

/** Makes the disk from which cloud-init reads what no interface may ask for. */
export interface CidataDisks {
  /**
   * Makes the disk anew.
   * @param path - where; `<path>.files` is used meanwhile
   * @throws Fault `full`, `tool` or `timeout`, StorageFull
   */
  make(path: string, vm: MicroVm, nics: readonly GuestNic[], signal: AbortSignal): Promise<void>;
  /** Not there is success. */
  remove(path: string): Promise<void>;
}
