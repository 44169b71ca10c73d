import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Guests } from './guest.ts';

const SOURCE = join(import.meta.dirname, '../floor/least.c');
/** In the guest; by how many it is told. */
const PROGRAM = '/tmp/least';
const STARTS = 3;

/**
 * What it takes in a guest to begin busybox's `true` and to wait for its end, by a program in C that does nothing else.
 *
 * @param directory - for what is compiled
 * @returns how to ask for it, in milliseconds
 */
export async function leastIn(guests: Guests, uid: string, directory: string): Promise<() => Promise<number>> {
  const made = join(directory, 'least');
  execFileSync('musl-gcc', ['-std=c11', '-Os', '-static', '-s', '-o', made, SOURCE], { stdio: 'inherit' });
  await said(guests, uid, 'sh', ['-ec', `cat > ${PROGRAM}; chmod 0755 ${PROGRAM}`], readFileSync(made));
  return async () =>
    Number(await said(guests, uid, PROGRAM, [String(STARTS), '/bin/busybox', 'true'], undefined)) / 1_000;
}

async function said(
  guests: Guests,
  uid: string,
  command: string,
  args: string[],
  stdin: Uint8Array<ArrayBuffer> | undefined,
): Promise<string> {
  async function* messages() {
    yield { payload: { case: 'start' as const, value: { uid, command, args, hasStdin: stdin !== undefined } } };
    if (stdin) yield { payload: { case: 'stdin' as const, value: stdin } };
  }
  let out = '';
  for await (const { payload } of guests.exec(messages())) {
    if (payload.case === 'stdout') out += Buffer.from(payload.value).toString();
    if (payload.case === 'exit' && payload.value.code !== 0)
      throw new Error(`${command} ended with ${payload.value.code} in the guest`);
  }
  return out;
}
