import type { Caller } from '../domain/caller.ts';
import type { FileContent } from '../ports/guest-files.ts';
import type { FileServices, OfGuest } from './files.ts';

/** What `guardServices` does with every verb. */
export interface Guard {
  act<T>(
    verb: string,
    weight: 'changes',
    what: object,
    work: (caller: Caller) => Promise<T>,
    made?: (result: T) => object,
  ): Promise<T>;
  flow<T>(
    verb: string,
    weight: 'changes',
    what: object,
    signal: AbortSignal,
    work: (caller: Caller, signal: AbortSignal) => AsyncIterable<T>,
    told?: () => object,
  ): AsyncGenerator<T>;
  mustSee(caller: Caller, target: OfGuest): Promise<void>;
  limited(caller: Caller, signal: AbortSignal): AbortSignal;
  named(target: OfGuest): object;
}

/**
 * What is done with the files of a guest is for whoever may run programs in it: to read them is no less, since that is done
 * as its root. The log has what was done and how many bytes, never a path or a content.
 */
export function guardFiles(services: FileServices, { act, flow, mustSee, limited, named }: Guard): FileServices {
  return {
    statFile: (request, signal) =>
      act('stat file in microVM', 'changes', named(request), async (caller) => {
        await mustSee(caller, request);
        return services.statFile(request, limited(caller, signal));
      }),
    listFiles: (request, signal) => {
      const told = { files: 0 };
      const work = async function* (caller: Caller, ended: AbortSignal) {
        await mustSee(caller, request);
        for await (const files of services.listFiles(request, ended)) {
          told.files += files.length;
          yield files;
        }
      };
      return flow('list files in microVM', 'changes', named(request), signal, work, () => told);
    },
    readFile: (request, signal) => {
      const told = { bytes: 0 };
      const work = async function* (caller: Caller, ended: AbortSignal) {
        await mustSee(caller, request);
        for await (const one of services.readFile(request, ended)) {
          if (one.is === 'data') told.bytes += one.data.length;
          yield one;
        }
      };
      return flow('read file in microVM', 'changes', named(request), signal, work, () => told);
    },
    writeFile: (request, content, signal) => {
      // Also of one that fails it is told how much came.
      const what = { ...named(request), bytes: 0 };
      const work = async (caller: Caller) => {
        await mustSee(caller, request);
        const counted = counting(content, (bytes) => (what.bytes += bytes));
        return services.writeFile(request, counted, limited(caller, signal));
      };
      return act('write file in microVM', 'changes', what, work);
    },
    changeFile: (request, signal) =>
      act('change file in microVM', 'changes', { ...named(request), op: request.change.is }, async (caller) => {
        await mustSee(caller, request);
        return services.changeFile(request, limited(caller, signal));
      }),
  };
}

async function* counting(
  content: AsyncIterable<FileContent>,
  count: (bytes: number) => void,
): AsyncGenerator<FileContent> {
  for await (const one of content) {
    if (one.is === 'data') count(one.data.length);
    yield one;
  }
}
