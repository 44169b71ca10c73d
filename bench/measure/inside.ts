import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execIn } from '../../test/support/exec-in.ts';
import type { Guest, Guests } from './guest.ts';

const SOURCE = join(import.meta.dirname, '../floor/inside.c');
const PROGRAM = '/tmp/inside';

/** A program in C in a guest, for what the guest's own kernel takes: `bench/floor/inside.c`. */
export class Inside {
  readonly #guest: Guest;

  private constructor(guest: Guest) {
    this.#guest = guest;
  }

  static async in(guest: Guest): Promise<Inside> {
    const { guests, uid, lab } = guest;
    const made = join(lab.host.directory, 'inside');
    execFileSync('musl-gcc', ['-std=c11', '-Os', '-static', '-s', '-o', made, SOURCE], { stdio: 'inherit' });
    await put(guests, uid, readFileSync(made));
    return new Inside(guest);
  }

  /** Serves in the background: a port that sends back what comes, and one that says so many bytes. */
  async serve(echo: number, source: number, bytes: number): Promise<void> {
    await this.#ask(`(exec ${PROGRAM} serve ${echo} ${source} ${bytes} &) >/dev/null 2>&1 </dev/null`);
  }

  /** @returns milliseconds for each, of some */
  async ms(what: string): Promise<number> {
    return Number(await this.#ask(`${PROGRAM} ${what}`)) / 1_000;
  }

  async #ask(command: string): Promise<string> {
    const { lab, uid } = this.#guest;
    const { code, out } = await execIn(lab.host, uid, command);
    if (code !== 0) throw new Error(`${command} ended with ${code} in the guest: ${out}`);
    return out;
  }
}

async function put(guests: Guests, uid: string, program: Uint8Array<ArrayBuffer>): Promise<void> {
  async function* messages() {
    const command = `cat >${PROGRAM} && chmod 0755 ${PROGRAM}`;
    yield { payload: { case: 'start' as const, value: { uid, command, shell: true, hasStdin: true } } };
    yield { payload: { case: 'stdin' as const, value: program } };
  }
  for await (const { payload } of guests.exec(messages()))
    if (payload.case === 'exit' && payload.value.code !== 0) throw new Error('the guest did not take the program');
}
