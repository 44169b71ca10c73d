import { pino } from 'pino';
import { errorTrace } from '../base/error-text.ts';
import { Fault } from '../domain/fault.ts';
import type { Log } from '../ports/log.ts';

/**
 * An error is an object without fields, and as JSON it would be `{}`. What was foreseen is told in its own words; of a bug
 * all is told that is known.
 */
export function readable(fields: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const entries = Object.entries(fields);
  if (!entries.some(([, value]) => value instanceof Error)) return fields;
  return Object.fromEntries(entries.map(([key, value]) => [key, value instanceof Error ? errorText(value) : value]));
}

const errorText = (error: Error): string => (error instanceof Fault ? error.message : errorTrace(error));

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
