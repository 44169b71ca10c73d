import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../test/support/daemon.ts';

/** Of package.json's `files`, what the programs need. */
const PARTS = ['bin', 'dist', 'packaging', 'package.json'];

/** The programs as a package has them: without `src/`, from `dist/`, which `npm run build` has made. */
export interface Packed extends Disposable {
  program(name: 'flintlock' | 'flintlockd'): string;
}

export const isBuilt = (): boolean => existsSync(join(ROOT, 'dist/daemon/main.js'));

export function unpacked(): Packed {
  const directory = mkdtempSync(join(tmpdir(), 'flintlock-packed-'));
  for (const part of PARTS) cpSync(join(ROOT, part), join(directory, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  return {
    program: (name) => join(directory, 'bin', name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
