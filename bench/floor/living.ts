import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** A tool of the host that is started once and told line after line: one process for as many acts as there are. */
export class Living implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #mark: (n: number) => string;
  readonly #waiting = new Map<string, (said: string) => void>();
  #said = '';
  #count = 0;

  /**
   * @param mark - a command that fails with these words in what it says: by that error it is known that all before it is
   *   done, because on success neither tool says anything
   */
  constructor(argv: readonly [string, ...string[]], mark: (n: number) => string) {
    const [program, ...args] = argv;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#mark = mark;
    this.#child.stdout.resume();
    this.#child.stdin.on('error', () => undefined); // the end of it is seen where something is waited for
    this.#child.stderr.on('data', (data: Buffer) => this.#hear(data.toString()));
    this.#child.on('exit', (code) => {
      for (const told of this.#waiting.values()) told(`${program} ended with ${code}`);
    });
  }

  /** @throws Error with what the tool said where it complains */
  async tell(lines: readonly string[]): Promise<void> {
    const word = `zz${++this.#count}zz`;
    const said = await new Promise<string>((resolve) => {
      this.#waiting.set(word, resolve);
      this.#child.stdin.write(`${[...lines, this.#mark(this.#count)].join('\n')}\n`);
    });
    // The last line is the mark's own, and before it nft says what is wrong with it.
    const words = said.split('\n').slice(0, -1);
    if (words.at(-1)?.startsWith('Error: No such file')) words.pop();
    const wrong = words.filter((line) => /error|cannot find|rtnetlink|ended with/i.test(line));
    if (wrong.length > 0) throw new Error(`${lines[0]}: ${wrong.join('; ')}`);
  }

  #hear(text: string): void {
    this.#said += text;
    for (const [word, told] of this.#waiting) {
      const at = this.#said.indexOf(word);
      if (at < 0) continue;
      told(this.#said.slice(0, at));
      this.#said = this.#said.slice(at + word.length);
      this.#waiting.delete(word);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

export const livingIp = (): Living => new Living(['ip', '-force', '-batch', '-'], (n) => `link show dev zz${n}zz`);

export const livingNft = (): Living => new Living(['nft', '-i'], (n) => `list set bridge flbench zz${n}zz`);
