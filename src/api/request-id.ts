import { randomUUID } from 'node:crypto';
import type { Log } from '../ports/log.ts';

/** In requests and answers, on every surface. */
export const REQUEST_ID = 'x-request-id';

/** Whatever a log and a label of another system hold without quoting. */
const SANE = /^[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}$/;

/** What a call is named by in the log and in its answer: the caller's own word where it is one, else a new one. */
export const requestIdOf = (sent: string | readonly string[] | undefined): string =>
  typeof sent === 'string' && SANE.test(sent) ? sent : randomUUID();

/** A log whose lines say for which request they are, where they are for one. */
export function withRequest(log: Log, current: () => { readonly request?: string } | undefined): Log {
  const told = (fields: Readonly<Record<string, unknown>> | undefined) => {
    const request = current()?.request;
    return request === undefined ? fields : { request, ...fields };
  };
  return {
    debug: (message, fields) => log.debug(message, told(fields)),
    info: (message, fields) => log.info(message, told(fields)),
    warn: (message, fields) => log.warn(message, told(fields)),
    error: (message, fields) => log.error(message, told(fields)),
  };
}
