import { readFileSync } from 'node:fs';

/** Whether a process is there, and more than a zombie. It may end at any time, also between two looks at it. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false; // the file is gone, or its process is while it is read
  }
}
