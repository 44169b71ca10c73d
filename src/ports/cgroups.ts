/** What a VMM may use at most, in all. */
export interface CgroupLimits {
  readonly memoryInMb: number;
  /** Processes and threads. */
  readonly tasks: number;
}

/** One microVM's cgroup in one hierarchy: the ledger's intent, with all that is needed to make and remove it. */
export interface CgroupIntent {
  /** The directory that holds those of all microVMs, made with the first of them and removed with the last. */
  readonly parent: string;
  readonly directory: string;
  /** What is written into which of its files. */
  readonly set: Readonly<Record<string, string>>;
  /** Of version 2: what the parent must hand down. */
  readonly enable: readonly string[];
}

/** Cgroups of version 1 and 2. Faults: `tool`, as of `Files`. @see cgroups(7) */
export interface Cgroups {
  /** Those of one microVM, one for each hierarchy. Pure. Empty: none can be made here. */
  of(uid: string, limits: CgroupLimits): readonly CgroupIntent[];
  /** There already is success: the limits are set anew. */
  make(intents: readonly CgroupIntent[], signal: AbortSignal): Promise<void>;
  /** Gone already is success. @throws Fault `refused` when processes stay in one */
  remove(intents: readonly Pick<CgroupIntent, 'parent' | 'directory'>[], signal: AbortSignal): Promise<void>;
  /** All that are there by this instance's name, in any hierarchy. */
  list(): Promise<readonly Pick<CgroupIntent, 'parent' | 'directory'>[]>;
}
