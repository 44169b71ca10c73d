/** What a guest has done that can be seen from outside, counted since its monitor or its interfaces began. */
export interface Signs {
  /** The length of its console's file, in bytes. */
  readonly consoleBytes: number;
  /** Reads and writes of its disks; absent where the monitor did not answer, or it has none. */
  readonly diskOperations?: number;
  /** Packets that came from it; absent where it has no interface. */
  readonly packets?: number;
}

/** What `GuestAlive` says, and why. */
export interface LifeReport {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'Alive' | 'NoSignOfLife';
  readonly message: string;
}

/**
 * So long the CPU of a guest may run with nothing seen of it before that is told. A small kernel says its first word after
 * 0.2 s, under software emulation on a busy host after 10.
 */
export const UNSEEN_MS = 45_000;

/** What was seen between two looks, for a sentence; undefined: nothing. */
export function seenBetween(before: Signs, now: Signs): string | undefined {
  const isMore = (key: keyof Signs): boolean => (now[key] ?? 0) > (before[key] ?? 0);
  const seen = [
    ...(isMore('consoleBytes') ? ['words on its console'] : []),
    ...(isMore('diskOperations') ? ['reads of its disks'] : []),
    ...(isMore('packets') ? ['packets from its interfaces'] : []),
  ];
  return seen.length === 0 ? undefined : seen.join(', ');
}

/** @param afterMs - since it began to boot; absent: that is not known */
export const alive = (seen: string, afterMs: number | undefined): LifeReport => ({
  status: 'True',
  reason: 'Alive',
  message: `Seen${afterMs === undefined ? '' : ` within ${(afterMs / 1000).toFixed(1)} s of its start`}: ${seen}`,
});

export const notSeenYet: LifeReport = {
  status: 'Unknown',
  reason: 'NoSignOfLife',
  message: 'Nothing was seen of the guest yet: no word on its console, no read of its disks, no packet',
};

/** @param advice - what to try, a sentence */
export const unseen = (forMs: number, { diskOperations, packets }: Signs, advice: string): LifeReport => {
  const parts = [
    'no word on its console',
    ...(diskOperations === undefined ? [] : ['no read of its disks']),
    ...(packets === undefined ? [] : ['no packet from its interfaces']),
  ];
  return {
    status: 'False',
    reason: 'NoSignOfLife',
    message: `Its CPU has run for ${Math.round(forMs / 1000)} s, and nothing was seen of the guest: ${parts.join(', ')}. ${advice}; look whether kernel and initrd are of one version, and whether kernel.cmdline names another console than ttyS0. On a slow host, flintlockd --patience gives it longer`,
  };
};
