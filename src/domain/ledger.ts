import { Fault } from './fault.ts';
import type { Uid } from './microvm.ts';

export interface VmOwner {
  readonly is: 'vm';
  readonly uid: Uid;
}
export interface HostOwner {
  readonly is: 'host';
}
export interface ImagesOwner {
  readonly is: 'images';
}
/** Whose a side effect is: a microVM's, the host's network's, or the image cache's. */
export type Owner = VmOwner | HostOwner | ImagesOwner;

export const HOST_OWNER: HostOwner = { is: 'host' };
export const IMAGES_OWNER: ImagesOwner = { is: 'images' };
export const vmOwner = (uid: Uid): VmOwner => ({ is: 'vm', uid });

/** As it is stored and shown. Whatever else may own things one day is stored as `TAG:NAME`: no uid has a colon. */
export const ownerText = (owner: Owner): string => (owner.is === 'vm' ? owner.uid : owner.is);

/** @returns undefined for an owner that this program does not know */
export function parseOwner(text: string): Owner | undefined {
  if (text === HOST_OWNER.is) return HOST_OWNER;
  if (text === IMAGES_OWNER.is) return IMAGES_OWNER;
  return text === '' || text.includes(':') ? undefined : vmOwner(text as Uid); // this is the edge
}

/**
 * What can be made for one microVM, in the order in which it is: what a kind stands on comes before it. All else about
 * a kind is in the file of its name in `steps/`.
 */
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
] as const;
/** What is made once for the host, in the order in which it is. */
export const HOST_STEP_KINDS = [
  'forwarding',
  'bridge',
  'firewall',
  'guards',
  'publishing',
  'metadata-path',
  'dhcp',
  'probe',
  'macvtap-guards',
  'macvtap-path',
] as const;
/** What the image cache makes. */
export const CACHE_KINDS = ['image-tree', 'golden', 'fitted-kernel'] as const;
export const LEDGER_KINDS = [...VM_STEP_KINDS, ...HOST_STEP_KINDS, ...CACHE_KINDS] as const;

export type VmStepKind = (typeof VM_STEP_KINDS)[number];
export type HostStepKind = (typeof HOST_STEP_KINDS)[number];
export type CacheKind = (typeof CACHE_KINDS)[number];
export type LedgerKind = (typeof LEDGER_KINDS)[number];

/** Who may own entries of a kind. */
type Owners = { readonly [K in VmStepKind]: VmOwner } & { readonly [K in HostStepKind]: HostOwner } & {
  readonly [K in CacheKind]: ImagesOwner;
};
export type OwnerOf<K extends LedgerKind> = Owners[K];

/** What a microVM wants made: the key tells it from others of its kind. */
export interface VmStep<K extends VmStepKind = VmStepKind> {
  readonly kind: K;
  readonly key: string;
}

/**
 * What the entries of each kind hold: `intent`, all that undo may know, perhaps in another daemon, and `result`, what
 * the act found out. Plain JSON. Each file of `steps/` adds its own kind; one that no file adds does not compile.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is filled by declaration merging
export interface LedgerRows {}
export type IntentOf<K extends LedgerKind> = LedgerRows[K]['intent'];
export type ResultOf<K extends LedgerKind> = LedgerRows[K]['result'];

export interface Entry<K extends LedgerKind> {
  /** Grows: undo goes from the highest to the lowest. */
  readonly entry: number;
  readonly owner: OwnerOf<K>;
  readonly kind: K;
  /** Unique with owner and kind: the volume's id, the interface's name, a digest, or empty. */
  readonly key: string;
  readonly intent: IntentOf<K>;
  readonly made: boolean;
  /** Undefined until made. */
  readonly result: ResultOf<K> | undefined;
}

/**
 * One side effect on the host: intended (it may or may not be there), or made.
 * Struck out, that is removed, only after its undo has succeeded.
 */
export type LedgerEntry<K extends LedgerKind = LedgerKind> = { [P in K]: Entry<P> }[K];

/** An entry of whatever kind, where that does not matter. */
export type AnyEntry = Omit<Entry<LedgerKind>, 'owner' | 'intent' | 'result'> & {
  readonly owner: Owner;
  readonly intent: unknown;
  readonly result: unknown;
};

const isOf =
  <K extends LedgerKind>(kind: K) =>
  (entry: AnyEntry): entry is LedgerEntry<K> =>
    entry.kind === kind;

/** Those of a kind, in their order. */
export const entriesOf = <K extends LedgerKind>(entries: readonly AnyEntry[], kind: K): readonly LedgerEntry<K>[] =>
  entries.filter(isOf(kind));

export const isVmEntry = (entry: LedgerEntry): entry is LedgerEntry<VmStepKind> =>
  VM_STEP_KINDS.some((kind) => kind === entry.kind);

/** A row of which this program cannot tell what it made, and so neither whether it is there nor how it is undone. */
export interface UnreadableRow {
  readonly entry: number;
  /** As it is stored. */
  readonly owner: string;
  readonly kind: string;
  readonly key: string;
  /** A clause: what is wrong with it, and which program is needed. */
  readonly why: string;
}

/** `01ARZ3NDEKTSV4RRFFQ69G5FAV tap "eth0"` */
export const rowText = ({ owner, kind, key }: Pick<UnreadableRow, 'owner' | 'kind' | 'key'>): string =>
  `${owner} ${kind}${key === '' ? '' : ` "${key}"`}`;

export const unreadableText = (row: UnreadableRow): string =>
  `The ledger's row ${rowText(row)} (entry ${row.entry}) cannot be read: ${row.why}`;

/** It may be readable to another program, or when it was mended. */
export const unreadable = (row: UnreadableRow): Fault =>
  new Fault('refused', unreadableText(row), { reason: 'LedgerUnreadable', terminal: false });
