import { readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A guest takes a second without KVM; a busy machine is let live. */
const LINE_MS = 300_000;
/** The wait is part of what is measured, for whoever is measured alike. */
const LOOK_MS = 2;

/** Until a console's file holds the words. */
export async function lineIn(path: string, words: string): Promise<void> {
  const end = performance.now() + LINE_MS;
  while (!isIn(path, words)) {
    if (performance.now() > end) throw new Error(`${path} has no "${words}" after ${LINE_MS / 1_000} s`);
    await sleep(LOOK_MS);
  }
}

function isIn(path: string, words: string): boolean {
  try {
    return statSync(path).size > 0 && readFileSync(path, 'latin1').includes(words);
  } catch {
    return false; // not there yet
  }
}
