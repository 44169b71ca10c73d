import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage } from '../../base/error-text.ts';
import { run } from '../../host/run.ts';
import type { Extended } from './tree.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
const LIMIT_MS = 60_000;
/** Files that are open at once for one question. */
const AT_ONCE = 128;
const WANTED = '^(user\\.|security\\.capability$)';

/** What must be there for it: Node knows nothing of extended attributes. */
const LACK = 'the program getfattr is not here: install it (Debian: apt-get install attr)';

/** Of one file: its attributes, or why they are not known. */
export interface Known {
  readonly extended: readonly Extended[];
  readonly lack: string;
}

export const NONE: Known = { extended: [], lack: '' };

/** The extended attributes of files of this machine, by getfattr and setfattr. */
export class HostExtended {
  readonly #signal: AbortSignal;
  #lack = '';

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** @param paths - of files and directories; none is gone through that is a link. In their order */
  async of(paths: readonly (string | Buffer)[]): Promise<readonly Known[]> {
    const all: Known[] = [];
    for (let at = 0; at < paths.length; at += AT_ONCE) all.push(...(await this.#some(paths.slice(at, at + AT_ONCE))));
    return all;
  }

  /** @returns how many could not be given */
  async give(handle: FileHandle, extended: readonly Extended[]): Promise<number> {
    if (extended.length === 0) return 0;
    const lines = extended.map(({ name, value }) => `${quoted(name)}=0x${Buffer.from(value).toString('hex')}\n`);
    try {
      await run(['setfattr', '--restore=-'], {
        ...{ signal: this.#signal, timeoutMs: LIMIT_MS },
        input: `# file: ${pathOf(handle)}\n${lines.join('')}`,
      });
      return 0;
    } catch (error) {
      this.#signal.throwIfAborted();
      // It says each that it could not, and goes on with the next.
      const said = errorMessage(error).match(/setfattr: \/proc/g)?.length ?? extended.length;
      return Math.min(said, extended.length);
    }
  }

  async #some(paths: readonly (string | Buffer)[]): Promise<readonly Known[]> {
    if (this.#lack !== '') return paths.map(() => ({ extended: [], lack: this.#lack }));
    const handles = await Promise.all(
      // What may not be read is told when it is copied.
      paths.map((path) => open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)),
    );
    try {
      const opened = handles.filter((one) => one !== undefined);
      const told = opened.length === 0 ? '' : await this.#ask(opened);
      const found = parseDump(told);
      return handles.map((one) => ({ extended: (one && found.get(pathOf(one))) ?? [], lack: '' }));
    } catch (error) {
      this.#signal.throwIfAborted();
      const isMissing = errorMessage(error).includes('not installed');
      if (isMissing) this.#lack = LACK;
      const lack = isMissing ? LACK : errorMessage(error);
      return paths.map(() => ({ extended: [], lack }));
    } finally {
      for (const one of handles) await one?.close();
    }
  }

  #ask(handles: readonly FileHandle[]): Promise<string> {
    const how = ['--dump', '--encoding=hex', `--match=${WANTED}`, '--absolute-names', '--'];
    return run(['getfattr', ...how, ...handles.map(pathOf)], { signal: this.#signal, timeoutMs: LIMIT_MS });
  }
}

/** For a program beside us; its name has none of the bytes that a dump writes otherwise. */
const pathOf = ({ fd }: FileHandle): string => `/proc/${process.pid}/fd/${fd}`;

/** A name as a dump has it: what is no plain letter in three octal digits. */
const quoted = (name: Uint8Array): string =>
  [...name]
    .map((byte) =>
      /[A-Za-z0-9._-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `\\${byte.toString(8).padStart(3, '0')}`,
    )
    .join('');

const unquoted = (text: string): Uint8Array =>
  Buffer.from(
    Buffer.from(text)
      .toString('latin1')
      .replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
    'latin1',
  );

/** What `getfattr --dump --encoding=hex` prints, by file. */
export function parseDump(text: string): ReadonlyMap<string, readonly Extended[]> {
  const files = new Map<string, Extended[]>();
  let current: Extended[] = [];
  for (const line of text.split('\n')) {
    const [, path] = /^# file: (.*)$/.exec(line) ?? [];
    if (path !== undefined) {
      current = [];
      files.set(path, current);
    } else if (line !== '') {
      const [name = '', value = ''] = line.split('=', 2);
      current.push({ name: unquoted(name), value: Buffer.from(value.replace(/^0x/, ''), 'hex') });
    }
  }
  return files;
}
