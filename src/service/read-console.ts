import { CONSOLE_KEEP_BYTES } from '../domain/console-sizes.ts';
import { Fault } from '../domain/fault.ts';
import { Changes } from './changes.ts';
import { byUid } from './find.ts';
import type { Needs, NeedsOf } from './needs.ts';

export type ConsoleNeeds = NeedsOf<'store', 'get'> & Needs<'files' | 'consolePath' | 'onChange'>;

const CHUNK_BYTES = 64 << 10;

/**
 * The recorded bytes of a console, from its file: no reader is known to the
 * VMM, so none can stall the guest.
 */
export async function* readConsole(
  needs: ConsoleNeeds,
  { uid, follow, tailBytes }: { readonly uid: string; readonly follow: boolean; readonly tailBytes: number },
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const { store, files } = needs;
  if (tailBytes < 0) throw Fault.invalid([{ field: 'tail_bytes', description: 'must be 0 (all) or more' }]);
  const keep = tailBytes > 0 ? Math.min(tailBytes, CONSOLE_KEEP_BYTES) : CONSOLE_KEEP_BYTES;
  byUid(store, uid, false);
  using changes = new Changes(needs.onChange, uid);
  let offset: number | undefined;
  let stopWatching: (() => void) | undefined;
  try {
    for (;;) {
      signal.throwIfAborted();
      // Looked at before the read: what was written before the end is read.
      const vm = store.get(byUid(store, uid, true).uid);
      const isOver = !vm || vm.goneAt !== undefined || vm.state.is === 'FAILED' || vm.state.is === 'STOPPED';
      const path = vm && needs.consolePath(vm);
      const info = path === undefined ? undefined : await files.stat(path);
      if (path !== undefined && info) {
        stopWatching ??= files.watch(path, () => changes.touch());
        // A reader that fell behind the freed beginning goes on where the bytes are.
        offset = Math.max(offset ?? info.sizeBytes - keep, info.sizeBytes - CONSOLE_KEEP_BYTES, 0);
        const data = await files.read(path, { offset, maxBytes: CHUNK_BYTES });
        if (data && data.length > 0) {
          offset += data.length;
          yield data;
          continue;
        }
      }
      if (!follow || isOver) return;
      await changes.next(signal);
    }
  } finally {
    stopWatching?.();
  }
}
