import type { Files } from '../../ports/host.ts';

/** How much of a console's end is read. */
export const CONSOLE_TAIL = 64 << 10;
/** And of what a VMM wrote to its standard error. */
export const ERRORS_TAIL = 2_000;

/** A log's length in bytes; 0 while there is none. */
export async function lengthOf(files: Pick<Files, 'stat'>, path: string): Promise<number> {
  return (await files.stat(path))?.sizeBytes ?? 0;
}

/**
 * The end of a log.
 * @param from - what lies before it belongs to an earlier run
 * @returns at most `maxBytes` of it as text, without the NULs of a beginning that was freed
 */
export async function tailOf(files: Files, path: string, from: number, maxBytes: number): Promise<string> {
  const offset = Math.max(from, (await lengthOf(files, path)) - maxBytes);
  const bytes = await files.read(path, { offset, maxBytes });
  return bytes ? new TextDecoder().decode(bytes).replaceAll('\0', '') : '';
}

/** An error as a field of the log. */
export { errorMessage as textOf } from '../../base/error-text.ts';
