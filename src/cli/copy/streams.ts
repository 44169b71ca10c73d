import type { Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { type Place, type Places, type Source, targetFor } from './place.ts';
import type { Piece } from './tree.ts';

/** Standard input as a file of a guest: one that is there keeps its mode and its owner. */
export async function fromStream({ io }: Context, places: Places, to: Place): Promise<number> {
  if (to.is !== 'guest') throw new Problem(EXIT.usage, 'Standard input is copied into a guest: write VM:PATH');
  const { tree, into } = await targetFor(places, to, { entry: { type: 'file' }, name: '' }, false);
  const input = io.stdin();
  try {
    await tree.write(into, undefined, input);
  } finally {
    input.close();
  }
  return EXIT.done;
}

const ZEROS = Buffer.alloc(64 << 10);

/** One file as standard output. */
export async function toStream(context: Context, { tree, entry }: Source): Promise<number> {
  const { io } = context;
  if (entry.type !== 'file')
    throw new Problem(EXIT.failed, `${tree.shown([])} is no regular file: only such a one goes to standard output`);
  let hasChanged = false;
  for await (const piece of tree.read([], () => {
    hasChanged = true;
  })) {
    for (const bytes of bytesOf(piece)) {
      await io.stdout.write(bytes);
      if (io.unread.aborted) return EXIT.done;
    }
  }
  if (hasChanged) await context.err(`flintlock: ${tree.shown([])} was changed while it was copied\n`);
  return EXIT.done;
}

function* bytesOf(piece: Piece): Generator<Uint8Array> {
  if (piece instanceof Uint8Array) yield piece;
  else
    for (let left = piece.hole; left > 0n; ) {
      const bytes = left < BigInt(ZEROS.length) ? ZEROS.subarray(0, Number(left)) : ZEROS;
      left -= BigInt(bytes.length);
      yield bytes;
    }
}
