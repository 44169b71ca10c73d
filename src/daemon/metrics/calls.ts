import type { CallMeter } from '../../api/call-meter.ts';
import type { Registry } from '../../base/prometheus.ts';
import { observe } from './observe.ts';

/** Seconds: a read takes a millisecond, a create two, a stream hours. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60];

/** Counts calls by what was asked for and how it went. Both are the API's own words: see `api/call-meter.ts`. */
export function callMetrics(registry: Registry): CallMeter {
  const families = {
    grpc: {
      calls: registry.counter('flintlock_grpc_calls_total', 'gRPC calls that ended, by method and code.'),
      duration: registry.histogram('flintlock_grpc_call_duration_seconds', 'From call to whole answer.', BUCKETS),
    },
    http: {
      calls: registry.counter('flintlock_http_requests_total', 'HTTP requests that ended, by route and status.'),
      duration: registry.histogram('flintlock_http_request_duration_seconds', 'From request to whole answer.', BUCKETS),
    },
  };
  return ({ surface, method, code, ms }) => {
    families[surface].calls.add(1, { method, code });
    observe(families[surface].duration, ms, { method });
  };
}
