import { Fault } from '../domain/fault.ts';
import type { CheckHost } from './check.ts';

/** How long a tool may take to answer a question, in milliseconds. */
const ASK_MS = 60_000;

/** The text of a small file, trimmed; undefined when it is not there. */
export async function textOf({ files }: CheckHost, path: string): Promise<string | undefined> {
  const data = await files.read(path);
  return data && new TextDecoder().decode(data).trim();
}

/** A tool's standard output, trimmed; or why it failed. */
export async function ask(
  { run, signal }: CheckHost,
  argv: readonly [string, ...string[]],
  input?: string,
): Promise<{ readonly ok: boolean; readonly text: string }> {
  try {
    const limits = { signal, timeoutMs: ASK_MS, ...(input !== undefined && { input }) };
    return { ok: true, text: (await run(argv, limits)).trim() };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { ok: false, text: error.message };
  }
}

/** Where a program is; administrators' directories are looked through too, which a user's PATH often lacks. */
export async function whereIs(host: CheckHost, program: string): Promise<string | undefined> {
  for (const directory of new Set([
    ...host.path.split(':'),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    '/usr/bin',
    '/bin',
  ])) {
    if (!directory.startsWith('/')) continue;
    const found = await resolved(host, `${directory}/${program}`);
    if (found !== undefined && (await host.files.stat(found))?.kind === 'file') return `${directory}/${program}`;
  }
  return undefined;
}

/** A directory that may not be there yet: the nearest one above it that is. */
export async function nearestDirectory(host: CheckHost, path: string): Promise<string> {
  for (let at = path; at !== '' && at !== '/'; at = at.slice(0, at.lastIndexOf('/')))
    if ((await resolved(host, at)) !== undefined) return at;
  return '/';
}

/** A path with its symlinks resolved; undefined when it is not there, or not for this user to see. */
async function resolved({ files }: CheckHost, path: string): Promise<string | undefined> {
  try {
    return await files.realPath(path);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

/** Whether the user who runs this may read, write or both. @see test(1) */
export async function may(host: CheckHost, what: 'r' | 'w', path: string): Promise<boolean> {
  return (await ask(host, ['test', `-${what}`, path])).ok;
}

/** The effective user and capabilities. @see proc(5) */
export async function whoAmI(host: CheckHost): Promise<{ readonly root: boolean; has(capability: number): boolean }> {
  const status = (await textOf(host, '/proc/self/status')) ?? '';
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  const effective = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return { root: uid === '0', has: (capability) => ((effective >> BigInt(capability)) & 1n) === 1n };
}
