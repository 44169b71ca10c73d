import { CONTENT_TYPE } from '../../base/prometheus.ts';
import type { Caller } from '../../domain/caller.ts';
import { Fault } from '../../domain/fault.ts';
import type { Routes } from '../http/server.ts';

/** All metrics in Prometheus' text format. */
export type MetricsText = () => Promise<string>;

/**
 * `/metrics`, behind the gate: how much a host has and who fails on it is not for everybody who reaches the port,
 * nor for a caller that knows of one namespace only.
 */
export const metricsRoute =
  (text: MetricsText, current: () => Caller | undefined): Routes =>
  (app) => {
    app.get('/metrics', async (_request, reply) => {
      const caller = current();
      if (!caller) throw new Fault('denied', 'Cannot tell the metrics: it is not known who calls');
      if (caller.namespace !== undefined)
        throw new Fault(
          'denied',
          `Cannot tell the metrics: they concern the whole host, and ${caller.who} is for "${caller.namespace}" only`,
        );
      return reply.type(CONTENT_TYPE).send(await text());
    });
  };
