import { Code } from '@connectrpc/connect';
import type { FastifyInstance } from 'fastify';
import { shorten } from '../../domain/labels.ts';
import { sendError } from './json.ts';

/** Those that clients send; what else there is gets a 404. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/**
 * Answers 405 with `Allow` (RFC 9110 section 15.5.6) to a path that is there and is asked with a
 * method that it does not take.
 *
 * @param app - before its routes are added
 * @returns adds the answers, once the routes are there
 */
export function answerOtherMethods(app: FastifyInstance): () => void {
  const taken = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const of = taken.get(url) ?? new Set<string>();
    for (const one of [method].flat()) of.add(one);
    taken.set(url, of);
  });
  return () => {
    for (const [url, methods] of [...taken]) {
      const allow = [...methods].sort().join(', ');
      app.route({
        url,
        method: METHODS.filter((method) => !methods.has(method)),
        // Before its body is read, of whatever type that is.
        onRequest: (request, reply, _next) => {
          // A verb behind a colon that there is not: such a path is nobody's, neither a uid nor an id has one.
          const path = request.url.split('?')[0] ?? '';
          if (path.includes(':') && !url.includes('::')) return void reply.callNotFound();
          const message = `${shorten(path)} takes ${allow}, not ${request.method}`;
          reply.header('allow', allow);
          void sendError(reply, { code: Code.Unimplemented, http: 405, message, details: [] });
        },
        handler: () => undefined,
      });
    }
  };
}
