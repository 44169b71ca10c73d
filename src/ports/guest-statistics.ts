/** What is asked of a guest about itself. */
export interface StatisticsWanted {
  readonly intervalMs: number;
  /** So many processes, the busiest; 0: none. */
  readonly processes: number;
}

/** A disk or an interface, with the bytes since the guest's boot: read and written, or received and sent. */
export interface DeviceTraffic {
  readonly name: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A process of a guest. */
export interface GuestProcess {
  readonly pid: number;
  readonly name: string;
  /** What it used of CPUs since the sample before; 0 in the first one. */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** What a guest says of itself at one time: nothing of it is more than its word. */
export interface GuestStatistics {
  /** Since its boot, by its own clock. */
  readonly upMs: number;
  readonly cpus: number;
  /** Of all its CPUs together since its boot, and what of it they were busy. */
  readonly cpuMs: number;
  readonly busyMs: number;
  readonly memoryBytes: number;
  /** What programs could still get of it. */
  readonly availableBytes: number;
  readonly swapBytes: number;
  readonly swapFreeBytes: number;
  /** Over 1, 5 and 15 minutes. */
  readonly load: readonly number[];
  /** The file system of its root. */
  readonly rootBytes: number;
  readonly rootFreeBytes: number;
  readonly disks: readonly DeviceTraffic[];
  readonly interfaces: readonly DeviceTraffic[];
  readonly processCount: number;
  /** The busiest first. */
  readonly processes: readonly GuestProcess[];
}

/** What a guest tells of itself, by its agent. */
export interface TellsStatistics {
  /**
   * One sample at once, and one in each interval; who reads slowly gets fewer.
   *
   * @throws Fault `refused` where the agent cannot do it; `tool` when it or the guest goes away; the signal's reason
   */
  statistics(wanted: StatisticsWanted, signal: AbortSignal): AsyncIterable<GuestStatistics>;
}
