import { orAborted } from '../../base/or-aborted.ts';
import { Fault } from '../../domain/fault.ts';
import { Health, HealthCheckResponse_ServingStatus } from '../../gen/health/v1/health_pb.ts';
import { type Served, served } from '../served.ts';

const { SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

/**
 * gRPC health v1: SERVING for as long as the daemon answers, whatever its
 * microVMs do. A health that turns red over one broken microVM makes an
 * orchestrator restart the daemon in a loop.
 *
 * @param names - the services that can be asked after; the empty name is the daemon
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function health(names: readonly string[]): Served {
  const known = new Set(['', ...names]);
  return served(Health, {
    check: ({ service }) => {
      if (!known.has(service))
        throw new Fault('not_found', `Service "${service}" not found: see the reflection's list`);
      return { status: SERVING };
    },
    list: () => ({ statuses: Object.fromEntries([...known].map((name) => [name, { status: SERVING }])) }),
    watch: async function* ({ service }, { signal }) {
      yield { status: known.has(service) ? SERVING : SERVICE_UNKNOWN };
      await orAborted(new Promise<never>(() => undefined), signal); // it stays so
    },
  });
}
