import { packCpio } from '../base/cpio.ts';
import { Fault } from '../domain/fault.ts';
import type { AnyEntry } from '../domain/ledger.ts';
import type { MicroVm } from '../domain/microvm.ts';
import { processFiles } from '../domain/process.ts';
import { factOf } from './facts.ts';
import type { StepContext, StepPorts } from './step.ts';

/** Where a microVM's own initrd lies, where it has one. */
export const ownInitrdPath = (stateDirectory: string): string => `${stateDirectory}/initrd`;

/**
 * Whether the guest is told what to run: by an archive behind those of its initrd, which must be one of ours. See
 * `docs/adr/0049-what-an-image-runs-is-in-its-initrd.md`.
 */
export function hasOwnInitrd({ spec }: Pick<MicroVm, 'spec'>, entries: readonly AnyEntry[]): boolean {
  const root = spec.volumes.find(({ isRoot }) => isRoot);
  if (!spec.initrd || !root || !factOf(entries, 'image', spec.initrd.image).initrd?.takesProcess) return false;
  return spec.process !== undefined || factOf(entries, 'image', root.image).saysProcess === true;
}

const PIECE_BYTES = 1 << 20;
/** An archive begins where the kernel looks for one. */
const ALIGNED = 4;

interface Hands extends Pick<StepContext, 'entries' | 'signal'> {
  readonly vm: Pick<MicroVm, 'spec'>;
  readonly ports: {
    readonly files: Pick<StepPorts['files'], 'read' | 'write'>;
    readonly images: Pick<StepPorts['images'], 'says'>;
  };
}

/** Writes it, where it is wanted: the initrd of the image, and what the root volume's image and the spec say is to run. */
export async function writeOwnInitrd(
  stateDirectory: string,
  { vm, entries, ports: { files, images }, signal }: Hands,
): Promise<void> {
  const { spec } = vm;
  const from = spec.initrd && factOf(entries, 'image', spec.initrd.image).initrd?.path;
  if (from === undefined || !hasOwnInitrd(vm, entries)) return;
  const root = spec.volumes.find(({ isRoot }) => isRoot);
  const says = root && images.says(factOf(entries, 'image', root.image).digest);
  const told = processFiles(says ?? undefined, spec).map(
    ([path, content]) => [path, new TextEncoder().encode(content)] as const,
  );
  async function* pieces(path: string): AsyncGenerator<Uint8Array> {
    let offset = 0;
    for (;;) {
      signal.throwIfAborted();
      const piece = await files.read(path, { offset, maxBytes: PIECE_BYTES });
      if (!piece) throw new Fault('tool', `The initrd ${path} is not there any more`, { reason: 'InitrdNotFound' });
      if (piece.length === 0) break;
      yield piece;
      offset += piece.length;
    }
    yield new Uint8Array((ALIGNED - (offset % ALIGNED)) % ALIGNED);
    yield packCpio(told);
  }
  await files.write(ownInitrdPath(stateDirectory), pieces(from), { mode: 0o600 });
}
