import type { Routes } from '../http/server.ts';

/** @returns undefined when the daemon can take work, else why it cannot yet */
export type Readiness = () => string | undefined;

/**
 * `/healthz`: 200 while the process serves, whatever its microVMs do.
 * `/readyz`: 200 when ready, else 503 with the reason.
 */
export const opsRoutes =
  (ready: Readiness): Routes =>
  (app) => {
    const withHead = { exposeHeadRoute: true }; // as balancers and watchers ask
    app.get('/healthz', withHead, (_request, reply) => reply.type('text/plain').send('ok\n'));
    app.get('/readyz', withHead, (_request, reply) => {
      const missing = ready();
      return reply
        .type('text/plain')
        .code(missing === undefined ? 200 : 503)
        .send(`${missing ?? 'ok'}\n`);
    });
  };
