import type { Log } from '../../src/ports/log.ts';

/** Keeps what was said, so that a test can look at it. */
export function memoryLog(): Log & { readonly lines: { level: string; message: string; fields?: object }[] } {
  const lines: { level: string; message: string; fields?: object }[] = [];
  const say = (level: string) => (message: string, fields?: object) => {
    lines.push({ level, message, ...(fields && { fields }) });
  };
  return { lines, debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
}
