import type { Files, Run } from '../ports/host.ts';
import { toInput, UNPACK } from '../unpack/program.ts';
import { settle } from './unpacking.ts';

/** Decompresses an archive into a file that is not there. @throws Fault StorageFull, ImageInvalid */
export async function expand(
  from: string,
  to: string,
  name: string,
  options: {
    readonly run: Run;
    readonly files: Files;
    readonly directory: string;
    readonly keepFreeBytes: number;
    readonly timeoutMs: number;
  },
  signal: AbortSignal,
): Promise<void> {
  const { run, files, directory, keepFreeBytes, timeoutMs } = options;
  const maxBytes = Math.max(0, (await files.freeBytes(directory)) - keepFreeBytes);
  await settle(name, directory, () =>
    run(UNPACK, { signal, timeoutMs, input: toInput({ is: 'expand', from, to, maxBytes }) }),
  );
}
