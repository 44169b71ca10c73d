import { pino } from 'pino';
import type { Log } from '../ports/log.ts';

/** Of an error, what it was caused by, and that by what. */
const MAX_CAUSES = 5;

/** An error is an object without fields: as JSON it would be `{}`, and what is known of a bug would be lost. */
export function readable(fields: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const entries = Object.entries(fields);
  if (!entries.some(([, value]) => value instanceof Error)) return fields;
  return Object.fromEntries(entries.map(([key, value]) => [key, value instanceof Error ? errorText(value) : value]));
}

function errorText(error: Error): string {
  const texts: string[] = [];
  for (let one: unknown = error; one !== undefined && texts.length < MAX_CAUSES; ) {
    texts.push(one instanceof Error ? (one.stack ?? one.message) : String(one));
    one = one instanceof Error ? one.cause : undefined;
  }
  return texts.join('\ncaused by: ');
}

/** The log, on standard error: standard output is for what was asked. */
export function createLog(format: 'text' | 'json', verbosity: number): Log {
  const level = verbosity >= 2 ? 'debug' : 'info';
  if (format === 'json') {
    const logger = pino(
      { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      pino.destination({ dest: 2, sync: true }),
    );
    return {
      debug: (message, fields) => logger.debug(readable(fields), message),
      info: (message, fields) => logger.info(readable(fields), message),
      warn: (message, fields) => logger.warn(readable(fields), message),
      error: (message, fields) => logger.error(readable(fields), message),
    };
  }
  const line =
    (name: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      const rest = Object.entries(readable(fields))
        .filter(([, value]) => value !== undefined)
        .map(
          ([key, value]) =>
            ` ${key}=${typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`,
        )
        .join('');
      process.stderr.write(`${new Date().toISOString()} ${name} ${message}${rest}\n`);
    };
  const quiet = (): void => undefined;
  return {
    debug: level === 'debug' ? line('debug') : quiet,
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  };
}
