import { execFile } from 'node:child_process';
import { globSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { ROOT, TestHost } from '../support/daemon.ts';
import { type DocBlock, docBlocks } from '../support/doc-blocks.ts';
import { leaveToProofs } from '../support/proofs.ts';

const exec = promisify(execFile);
const BLOCK_MS = 90_000;
/** A line that stays in the foreground until Ctrl-C; with what is continued on the next. */
const DAEMON = /^(?:sudo )?bin\/flintlockd run ((?:[^\n]*\\\n)*[^\n]*)$/m;

/** One reader: a daemon, a network namespace, a home and a working directory. */
class Reader extends TestHost {
  #flags: readonly string[] = [];
  #runs = false;

  override get flags(): readonly string[] {
    return ['--state-dir', this.state, '--run-dir', this.run, ...this.#flags];
  }

  get cwd(): string {
    return join(this.directory, 'checkout');
  }

  async read({ text }: DocBlock): Promise<void> {
    const daemon = DAEMON.exec(text);
    if (daemon && !text.includes('--config-check')) {
      await this.shell(text.slice(0, daemon.index));
      await this.#restart(await this.#words(daemon[1] ?? ''));
      return this.shell(text.slice(daemon.index + daemon[0].length));
    }
    if (text.includes('flintlockd teardown')) await this.#end();
    else if (/\bflintlock /.test(text) && !this.#runs)
      await this.#restart([...['--grpc-endpoint', `unix://${this.socket}`, '--image-root', `${ROOT}/.cache/images`]]);
    await this.shell(text);
  }

  async #restart(flags: readonly string[]): Promise<void> {
    await this.#end();
    this.#flags = flags;
    await this.start();
    this.#runs = true;
  }

  async #end(): Promise<void> {
    if (this.#runs) expect(await this.stop()).toBe(0);
    this.#runs = false;
  }

  /** What the shell makes of a command's arguments. */
  async #words(text: string): Promise<readonly string[]> {
    return (await this.#bash(`printf '%s\\0' ${this.#here(text)}`)).split('\0').slice(0, -1);
  }

  async shell(text: string): Promise<void> {
    if (text.trim() !== '') await this.#bash(this.#here(text));
  }

  /** The table of what is not as on the reader's machine. */
  #here(text: string): string {
    return text
      .replaceAll('sudo ', '')
      .replaceAll('/run/flintlock', this.run)
      .replaceAll('/var/lib/flintlock', this.state)
      .replaceAll('$PWD/.cache', `${ROOT}/.cache`)
      .replaceAll(/(?<![\w/])bin\/flintlock/g, `${ROOT}/bin/flintlock`);
  }

  async #bash(script: string): Promise<string> {
    const env = {
      ...process.env,
      PATH: `${ROOT}/bin:${process.env.PATH}`,
      HOME: join(this.directory, 'home'),
      FLINTLOCK_HOST: `unix://${this.socket}`,
      FLINTLOCKD_STATE_DIR: this.state,
      FLINTLOCKD_RUN_DIR: this.run,
    };
    for (const directory of [env.HOME, this.cwd]) mkdirSync(directory, { recursive: true });
    const shell = ['bash', '-e', '-u', '-o', 'pipefail', '-c', script];
    const { stdout } = await exec('nsenter', [...this.inside, ...shell], { cwd: this.cwd, env, timeout: BLOCK_MS });
    return stdout;
  }
}

const PAGES = ['README.md', ...globSync('docs/*.md', { cwd: ROOT }).toSorted()];

/** Nine guests one after the other: of its commands each is tried by a test of its own, and the README has the first of them. */
const LONG = 'docs/getting-started.md';

test.for(PAGES)(
  '%s: every command works, in the order of the page, or says why it is not tried',
  async (page, context) => {
    leaveToProofs(context, page === LONG);
    const blocks = docBlocks(readFileSync(join(ROOT, page), 'utf8')).filter(({ notRun }) => notRun === undefined);
    if (blocks.length === 0) return;
    const reader = new Reader({});
    try {
      await reader.hold();
      for (const block of blocks)
        await reader.read(block).catch((cause: unknown) => {
          const { stdout = '', stderr = '', message } = cause as { stdout?: string; stderr?: string; message: string };
          throw new Error(`${page}:${block.line}: ${message}\n${stdout}${stderr}\n${reader.log.slice(-2_000)}`, {
            cause,
          });
        });
    } finally {
      await reader.close();
    }
  },
);
