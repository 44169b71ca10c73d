import type { Promised } from '../domain/admission.ts';
import type { Cursor, VmEvent } from '../domain/event.ts';
import type { MicroVm, Millis, StateName, Uid } from '../domain/microvm.ts';
import type { Selector } from '../domain/selector.ts';
import type { Metadata } from '../domain/spec.ts';

export interface Query {
  /** Absent: all namespaces. */
  readonly namespace?: string;
  /** Absent: any. */
  readonly id?: string;
  readonly selector?: Selector;
  /** Absent: all. */
  readonly limit?: number;
  /** Of the records as they are stored, and their metadata; one is read whatever it has. Absent: without a bound. */
  readonly maxBytes?: number;
  /** Only records made after this uid: uids sort by creation. */
  readonly after?: Uid;
  /** Those too of which nothing is left. */
  readonly gone?: boolean;
}

/** A record without what is in it. With the same version it is the same record. */
export interface Row {
  readonly uid: Uid;
  readonly version: number;
  /** As it is stored, without its metadata. */
  readonly bytes: number;
}

/** What a new microVM needs to be unique on the host; refused with Fault `exists` when taken. */
export interface NewVm {
  readonly vm: MicroVm;
  /** What its spec's `metadataRef` names; absent: none. */
  readonly metadata?: Metadata;
  /** ALREADY_EXISTS when a microVM that is not gone has this namespace and id. */
  readonly uniqueId: boolean;
  /** The one namespace that the caller may know of; absent: all. Another's microVM is not named to it. */
  readonly knows?: string;
}

/** What was answered to a request that carried an idempotency key. */
export interface FirstAnswer {
  /** Of the request: another one may not use its key. */
  readonly digest: string;
  readonly vm: MicroVm;
  readonly at: Millis;
}

export type AllocationKind = 'tap-stem' | 'mac' | 'address' | 'hostname' | 'port' | 'vmm-user' | 'metadata-port';

/**
 * The records of all microVMs. Durable before a call returns. Calls are
 * synchronous: one writer, and a commit costs less than a turn of the loop.
 */
export interface Store {
  /**
   * Stores a new record, its allocation and its ADDED event.
   * @throws Fault `exists` for a taken id; `invalid` for a taken MAC, address or published port, with who has it;
   * `full` where that one is being deleted, so that it is free soon; `conflict` for a uid whose interfaces would have the
   * names of another's
   */
  create(created: NewVm): void;
  get(uid: Uid): MicroVm | undefined;
  /**
   * What a record's `metadataRef` names; of a past record, what it had then. Read only where it is needed: it may be long.
   * @throws Fault `tool` when it cannot be read, which the log tells
   */
  metadataOf(vm: Pick<MicroVm, 'uid' | 'spec'>): Metadata;
  /** Writes what the record's `metadataRef` names, in the transaction that writes the record. */
  keepMetadata(vm: Pick<MicroVm, 'uid' | 'spec'>, metadata: Metadata): void;
  /** Of every record, those of which nothing is left too. */
  uids(): readonly Uid[];
  /** Of the record as it is now, which need not be read for it. */
  versionOf(uid: Uid): number | undefined;
  /** All records with that namespace and id; more than one only through the drop-in surface. */
  find(namespace: string, id: string, gone?: boolean): readonly MicroVm[];
  /** Oldest first. */
  list(query: Query): readonly MicroVm[];
  /**
   * The same without what is in them, also of one that cannot be read. They are read as they are asked for: nothing may be
   * stored, and no other rows of the same form be asked for, before the last was.
   */
  rows(query: Omit<Query, 'limit' | 'maxBytes'>): Iterable<Row>;
  count(): number;
  /** How many microVMs that are not gone are in which state, by the provider that they have, or ask for (empty: the default). */
  tally(): readonly { readonly state: StateName; readonly provider: string; readonly count: number }[];
  /** What all microVMs that are not gone are promised; within a transaction as it is there. */
  promised(): Promised;
  /**
   * Reads, changes and writes a record, with the next version and a MODIFIED
   * event. `change` returns undefined to leave it: then nothing is written.
   * Within a transaction what it writes itself is part of it.
   * @returns the record as it is now; undefined if there is none
   */
  update(uid: Uid, change: (vm: MicroVm) => MicroVm | undefined): MicroVm | undefined;
  /**
   * Ends a record: its allocation is free again, and a DELETED event is stored.
   * @param consoleTail - the end of a console that the record does not have yet
   */
  gone(uid: Uid, consoleTail?: string): void;
  /**
   * What was answered to the request with this idempotency key, while it is kept.
   * @throws Fault `tool` when it cannot be read: who asks must not take it for none
   */
  answered(key: string): FirstAnswer | undefined;
  /** Keeps an answer, in the transaction of what it tells of. The key has none. */
  answer(key: string, first: FirstAnswer): void;
  /** Forgets records that were gone before this time, and old events and answers. */
  purge(goneBefore: number, eventsBefore: number): void;
  /**
   * Gives a microVM the next port of the metadata service, for its own cannot be had: the record says so from then on.
   * @throws Fault `full` when there is none
   */
  nextMetadataPort(uid: Uid): MicroVm | undefined;
  /**
   * Whether a MAC address, IPv4 address, DNS name, published port, VMM user, port of the metadata service, or a stem of
   * interfaces' names (see `tapStem`) is taken.
   */
  isAllocated(kind: AllocationKind, value: string): boolean;
  /** The living microVM that has this address. */
  holder(kind: 'mac' | 'address' | 'parent-address', value: string): MicroVm | undefined;
  /** Remembers a value for ever in the database, e.g. the address given last. */
  remember(key: string, value: string): void;
  recall(key: string): string | undefined;
  /** The newest event. */
  cursor(): Cursor;
  /** Events after `seq`, oldest first, at most `limit`, and `maxBytes` of them as they are stored, with their metadata, but one at least. */
  events(afterSeq: number, limit: number, maxBytes?: number): readonly VmEvent[];
  /** The oldest seq that is still kept, minus one. */
  oldestSeq(): number;
  /** Called after each commit that stored events, with whose they are, never with the database open. @returns how to stop */
  onEvent(listener: (uids: ReadonlySet<Uid>) => void): () => void;
}

/** Writes of the store and of the ledger in one transaction. */
export interface Transactions {
  transact<T>(work: () => T): T;
  /**
   * As `transact`, in one transaction with all else that is asked for so in the same turn of the loop: the disk is waited
   * for once. Resolves when it is on the disk.
   * @throws what `work` throws, which undoes that one alone; what keeps all of it from being stored
   */
  together<T>(work: () => T): Promise<T>;
}
