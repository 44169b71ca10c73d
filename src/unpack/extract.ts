import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { Refusal } from './refusal.ts';

/**
 * GNU tar, writing below a directory what is piped into it. It gets names
 * that are resolved already, so that its own ways with links do not matter.
 * Attributes that the file system does not have are left out, as by containerd.
 */
const ARGV = [
  ...['--extract', '--file=-', '--numeric-owner', '--same-owner', '--same-permissions', '--absolute-names'],
  ...['--delay-directory-restore', '--no-acls', '--no-selinux', '--xattrs', '--xattrs-include=*'],
  ...['--warning=no-timestamp', '--quoting-style=escape', '--blocking-factor=128'],
];
/** Small pieces are put together to so many bytes. */
const BATCH_BYTES = 256 << 10;
const MAX_ERROR_BYTES = 64 << 10;

export class Extraction {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>;
  readonly #ended: Promise<string>;
  #batch: Buffer[] = [];
  #batched = 0;
  #isBroken = false;

  constructor(target: string) {
    // It ends with us: what a killed daemon started must not write on.
    const argv = ['--pdeathsig', 'KILL', '--', 'tar', ...ARGV, '--directory', target];
    const child: ChildProcessByStdio<Writable, null, Readable> = spawn('setpriv', argv, {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH ?? '', LANG: 'C.UTF-8' },
    });
    this.#child = child;
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (said.length < MAX_ERROR_BYTES) said += chunk.toString();
    });
    // One that ends early says why when it has ended.
    child.stdin.on('error', () => {
      this.#isBroken = true;
    });
    this.#ended = (async () => {
      const [code, signal] = await once(child, 'close');
      if (code !== 0) throw new ToolError(said === '' && signal !== null ? `ended by ${signal}` : said);
      return said;
    })();
    this.#ended.catch(() => undefined);
  }

  async write(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return;
    this.#batch.push(bytes);
    this.#batched += bytes.length;
    if (this.#batched >= BATCH_BYTES) await this.#flush();
  }

  /** @returns what it said of attributes that it could not set. @throws ToolError */
  async end(): Promise<string> {
    await this.#flush();
    this.#child.stdin.end();
    return this.#ended;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#batch);
    this.#batch = [];
    this.#batched = 0;
    if (this.#isBroken) return void (await this.#ended);
    if (bytes.length > 0 && !this.#child.stdin.write(bytes)) {
      // A pipe that breaks meanwhile says less than how it ended.
      const drained = once(this.#child.stdin, 'drain').catch(() => this.#ended);
      await Promise.race([drained, this.#ended]);
    }
  }
}

/** What tar said; one line for each file, and one at the end. */
export class ToolError extends Refusal {
  readonly said: string;

  constructor(said: string) {
    const first = said.split('\n').find((line) => line !== '') ?? 'it said nothing';
    super('tool', `tar failed: ${first.slice(0, 300)}`);
    this.said = said;
  }
}
