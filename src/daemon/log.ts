import { pino } from 'pino';
import type { Log } from '../ports/log.ts';

/** The log, on standard error: standard output is for what was asked. */
export function createLog(format: 'text' | 'json', verbosity: number): Log {
  const level = verbosity >= 2 ? 'debug' : 'info';
  if (format === 'json') {
    const logger = pino(
      { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      pino.destination({ dest: 2, sync: true }),
    );
    return {
      debug: (message, fields) => logger.debug(fields ?? {}, message),
      info: (message, fields) => logger.info(fields ?? {}, message),
      warn: (message, fields) => logger.warn(fields ?? {}, message),
      error: (message, fields) => logger.error(fields ?? {}, message),
    };
  }
  const line =
    (name: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      const rest = Object.entries(fields)
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
