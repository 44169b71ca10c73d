import { Fault } from '../../domain/fault.ts';
import type { Channel } from '../../ports/channel.ts';
import type { Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { appended } from '../supervisor/growing-file.ts';
import { lengthOf } from '../supervisor/tail.ts';
import { consoleInput, consoleLog } from './layout.ts';

/**
 * The serial port of a guest, both ways: in by a FIFO, which holds 64 KiB of what the guest did not read yet, out by the file
 * that has all that it writes.
 *
 * @throws Fault `refused` when no VMM reads it; the signal's reason
 */
export async function openConsole(
  config: Pick<VmmConfig, 'runDirectory' | 'stateDirectory'>,
  files: Pick<Files, 'read' | 'stat' | 'watch' | 'typeInto'>,
  signal: AbortSignal,
): Promise<Channel> {
  const path = consoleLog(config);
  const from = await lengthOf(files, path);
  signal.throwIfAborted();
  const input = openInput(consoleInput(config), files);
  return { ...input, read: (reading) => appended(files, path, from, input.closed, reading) };
}

function openInput(path: string, files: Pick<Files, 'typeInto'>) {
  try {
    return files.typeInto(path);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    throw new Fault(error.kind, `Cannot open the console ${path}: ${error.message}; is the guest still running?`, {
      cause: error,
    });
  }
}
