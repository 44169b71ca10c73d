import type { Files } from '../../ports/host.ts';
import { lengthOf } from './tail.ts';

const CHUNK_BYTES = 64 << 10;

/**
 * Reads what is appended to a file, as it comes.
 *
 * @param from - bytes before it are not read; of a file whose beginning was freed meanwhile the freed bytes are NUL
 * @param ended - when it resolves what is there by then is read, and no more
 * @throws the signal's reason
 */
export async function* appended(
  files: Pick<Files, 'read' | 'stat' | 'watch'>,
  path: string,
  from: number,
  ended: Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let offset = from;
  let isOver = false;
  let wake = Promise.withResolvers<void>();
  const onChange = (): void => wake.resolve();
  const stop = files.watch(path, onChange);
  signal.addEventListener('abort', onChange, { once: true });
  void ended.then(() => {
    isOver = true;
    onChange();
  });
  try {
    for (;;) {
      signal.throwIfAborted();
      wake = Promise.withResolvers<void>(); // before the look: what changes after it is seen
      const isLast = isOver;
      if ((await lengthOf(files, path)) > offset) {
        const data = await files.read(path, { offset, maxBytes: CHUNK_BYTES });
        if (data && data.length > 0) {
          offset += data.length;
          yield data;
          continue;
        }
      }
      if (isLast) return;
      if (!isOver && !signal.aborted) await wake.promise;
    }
  } finally {
    stop();
    signal.removeEventListener('abort', onChange);
  }
}
