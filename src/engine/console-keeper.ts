import { Periodic } from '../base/periodic.ts';
import { CONSOLE_KEEP_BYTES } from '../domain/console-sizes.ts';
import type { Uid } from '../domain/microvm.ts';
import type { Clock } from '../ports/clock.ts';
import type { Files } from '../ports/host.ts';
import type { Log } from '../ports/log.ts';

const LOOK_MS = 5_000;

export interface ConsoleKeeperDeps {
  readonly files: Files;
  readonly clock: Clock;
  readonly log: Log;
  /** The microVMs that run. */
  running(): readonly Uid[];
  consolePath(uid: Uid): string | undefined;
}

/**
 * Bounds the consoles on the disk: the beginning of a file that grew is freed
 * (a hole), so that offsets stay, the VMM appends undisturbed, and no reader
 * can stall it. @returns how to stop
 */
export function keepConsoles(deps: ConsoleKeeperDeps): () => Promise<void> {
  const { files, clock, log } = deps;
  const look = async (): Promise<void> => {
    for (const uid of deps.running()) {
      try {
        const path = deps.consolePath(uid);
        const info = path === undefined ? undefined : await files.stat(path);
        if (path !== undefined && info && info.diskBytes > 2 * CONSOLE_KEEP_BYTES)
          await files.punch(path, info.sizeBytes - CONSOLE_KEEP_BYTES);
      } catch (error) {
        log.warn('a console could not be bounded', { uid, error });
      }
    }
  };
  const onFailure = (error: unknown): void => log.warn('the consoles could not be bounded', { error });
  const periodic = new Periodic({ clock, everyMs: LOOK_MS, look, onFailure }).start();
  return () => periodic.stop();
}
