/** Whose a side effect is: a microVM's uid, the host's network, or the image cache. */
export type Owner = string;
export const HOST_OWNER = 'host';
export const IMAGES_OWNER = 'images';

/** What can be made for one microVM: a file of the same name in `steps/` makes and unmakes it. */
export interface VmStepArgs {
  /** A hold on one image, and the files found in it. */
  image: { reference: string; wants: readonly ('kernel' | 'initrd' | 'volume')[] };
  /** The microVM's directories for state and for sockets. */
  directory: object;
  /** One volume: the image's file system, writable for this microVM alone. */
  volume: { id: string };
  /** The disk with the metadata of a microVM that cannot ask for it. */
  cidata: object;
  /** The DHCP reservation of one interface. */
  lease: { nic: string };
  /** What one interface may send as: its own MAC and IPv4 address. */
  guard: { nic: string };
  /** The host's side of one interface. */
  tap: { nic: string };
  /** The host's side of one interface on the parent, with what it may send as. */
  macvtap: { nic: string };
  /** The host's ports that lead to one interface. */
  publish: { nic: string };
  /** The microVM's port of the metadata service, and who is led to it. */
  metadata: object;
  /** The same, for its interfaces on the parent. */
  'macvtap-metadata': object;
  /** The VMM's process. */
  vmm: object;
}
export type VmStepKind = keyof VmStepArgs;
export type VmStep<K extends VmStepKind = VmStepKind> = {
  [P in K]: Readonly<{ kind: P; key: string } & VmStepArgs[P]>;
}[K];

export const VM_STEP_KINDS = [
  'image',
  'directory',
  'volume',
  'cidata',
  'lease',
  'guard',
  'tap',
  'publish',
  'macvtap',
  'metadata',
  'macvtap-metadata',
  'vmm',
] as const satisfies readonly VmStepKind[];

/** What is made once for the host, and by the image cache. */
export const SHARED_KINDS = [
  'forwarding',
  'bridge',
  'firewall',
  'guards',
  'publishing',
  'metadata-path',
  'macvtap-guards',
  'macvtap-path',
  'dhcp',
  'probe',
  'image-tree',
  'golden',
  'fitted-kernel',
] as const;
export type SharedKind = (typeof SHARED_KINDS)[number];
export type LedgerKind = VmStepKind | SharedKind;

/** A value that JSON holds without loss. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * One side effect on the host: intended (it may or may not be there), or made.
 * Struck out, that is removed, only after its undo has succeeded.
 */
export interface LedgerEntry {
  /** Grows: undo goes from the highest to the lowest. */
  readonly entry: number;
  readonly owner: Owner;
  readonly kind: LedgerKind;
  /** Unique with owner and kind: the volume's id, the interface's name, a digest, or empty. */
  readonly key: string;
  /** All that undo may know, perhaps in another daemon. */
  readonly intent: Json;
  readonly made: boolean;
  /** What the act found out: an ifindex, a pid. Null until made. */
  readonly result: Json;
}
