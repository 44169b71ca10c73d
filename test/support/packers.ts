import { execFileSync } from 'node:child_process';

const by = (tool: string) => (bytes: Buffer) => execFileSync(tool, ['-c'], { input: bytes, maxBuffer: 1 << 30 });

export const bzip2 = by('bzip2');
export const xz = by('xz');
