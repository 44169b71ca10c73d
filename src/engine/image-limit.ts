import { Periodic } from '../base/periodic.ts';
import { imagesInUse } from '../domain/image-uses.ts';
import type { Clock } from '../ports/clock.ts';
import type { ImageStore } from '../ports/images.ts';
import type { Ledger } from '../ports/ledger.ts';
import type { Log } from '../ports/log.ts';

/** Deletes of microVMs make images unused: they are looked at again after this long. */
const LOOK_MS = 300_000;

export interface ImageLimitDeps {
  readonly images: Pick<ImageStore, 'prune' | 'onGrowth'>;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  /** Of all images together; 0: no limit. */
  readonly maxBytes: number;
}

/**
 * Bounds the image cache: after each pull and from time to time what nothing
 * uses is dropped, used last longest ago first. @returns how to stop; resolves when a look under way has ended
 */
export function limitImages({ images, ledger, clock, log, maxBytes }: ImageLimitDeps): () => Promise<void> {
  if (maxBytes === 0) return async () => undefined;
  const look = async (): Promise<void> => {
    const removed = await images.prune(() => imagesInUse(ledger), maxBytes);
    if (removed.length > 0)
      log.info('images were dropped to keep within --image-cache-max', {
        digests: removed.map(({ digest }) => digest),
        bytes: removed.reduce((sum, { bytes }) => sum + bytes, 0),
      });
  };
  const onFailure = (error: unknown): void => log.warn('the image cache could not be bounded', { error });
  const periodic = new Periodic({ clock, everyMs: LOOK_MS, look, onFailure }).start();
  // Whoever pulls says first that the image is used: it is in the ledger when the look comes.
  const stopListening = images.onGrowth(() => periodic.soon());
  return async () => {
    stopListening();
    await periodic.stop();
  };
}
