import { extname, join } from 'node:path';

/** The unpacker's module, as this one is written. A bundle has another of this name, for what lies beside it: scripts/bundle.mjs. */
export const UNPACKER = join(import.meta.dirname, `main${extname(import.meta.filename)}`);
