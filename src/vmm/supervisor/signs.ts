import type { Signs } from '../../domain/guest-life.ts';
import type { Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { packetsOf } from './packets.ts';
import { lengthOf } from './tail.ts';
import type { VmmRun } from './vmm-program.ts';

/** What was seen of a guest so far. Never rejects: what cannot be asked is left out. @param console - the file with what it wrote to it */
export async function signsOf(
  { counters, monitor }: Pick<VmmRun, 'counters' | 'monitor'>,
  files: Files,
  { disks }: Pick<VmmConfig, 'disks'>,
  console: string,
): Promise<Signs> {
  const [consoleBytes, diskOperations, packets] = await Promise.all([
    lengthOf(files, console).catch(() => 0),
    disks.length === 0 ? undefined : monitor.diskOperations().catch(() => undefined),
    counters.length === 0 ? undefined : packetsOf(files, counters).catch(() => undefined),
  ]);
  return {
    consoleBytes,
    ...(diskOperations !== undefined && { diskOperations }),
    ...(packets !== undefined && { packets }),
  };
}
