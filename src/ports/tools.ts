/** Which microVMs cannot be made without a tool. */
export type ToolNeed =
  | 'each'
  | 'volumes' // with any
  | 'networks' // with an interface
  | 'managed' // with an interface on the managed network
  | 'partitions' // with a partition_id
  | 'metadata-disks'
  | 'none'; // without it something is done less well

/** How one program of the host does, as of its last trial. */
export interface ToolState {
  readonly name: string;
  /** Its file; empty where it is not installed. */
  readonly path: string;
  /** `slow`: it works, after a time that is told; `late`: it did not end in its time; `untried`: the host had no room for it. */
  readonly is: 'works' | 'slow' | 'late' | 'broken' | 'missing' | 'untried';
  /** A sentence; empty where it works. */
  readonly found: string;
  /** What to do; empty where it works. */
  readonly remedy: string;
}

/** The programs of the host that the daemon runs, each tried as it is used. */
export interface HostTools {
  /** Waits a moment for trials that are under way, not for their end. */
  states(): Promise<readonly ToolState[]>;
  /**
   * Why a microVM with these needs cannot be made, with the remedy; undefined where nothing is known to be in the way.
   * `each` is always among the needs.
   */
  obstacle(needs: ReadonlySet<ToolNeed>): Promise<string | undefined>;
}
