import type { MicroVm, Millis } from './microvm.ts';
import type { Spec } from './spec.ts';

/** One stored change. Written in the transaction of the change itself. */
export interface VmEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** Grows by one a change, in the order of the commits. */
  readonly seq: number;
  /** The record after the change. */
  readonly vm: MicroVm;
  readonly at: Millis;
  /** Where the change was one of the labels. */
  readonly labelsBefore?: Spec['labels'];
}

/** Where a watcher stands: `epoch` is made with the database. Written `<epoch>.<seq>`. */
export interface Cursor {
  readonly epoch: string;
  readonly seq: number;
}
