import { Code, ConnectError } from '@connectrpc/connect';
import { endsWithin } from '../base/ends-within.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { guardServices } from '../service/guarded.ts';
import type { Services } from '../service/services.ts';
import type { CallMeter } from './call-meter.ts';
import { CurrentCaller } from './current-caller.ts';
import { dropin } from './dropin/services.ts';
import type { Endpoint } from './endpoint.ts';
import { Flow } from './flow/flow.ts';
import type { FlowLimits } from './flow/limits.ts';
import { type Gate, openGate } from './gate.ts';
import { GrpcServer } from './grpc/server.ts';
import type { Flows } from './http/call-signal.ts';
import { dropinRoutes } from './http/dropin-routes.ts';
import { execSocket } from './http/exec-socket.ts';
import { fileRoutes } from './http/file-routes.ts';
import { guestRoutes } from './http/guest-routes.ts';
import { hostRoutes } from './http/host-routes.ts';
import { imageRoutes } from './http/image-routes.ts';
import { nativeRoutes } from './http/routes.ts';
import { HttpServer } from './http/server.ts';
import type { Upgrades } from './http/upgrade.ts';
import type { ListenOptions } from './listen.ts';
import { native } from './native/services.ts';
import { type MetricsText, metricsRoute } from './ops/metrics-route.ts';
import { opsRoutes, type Readiness } from './ops/routes.ts';
import { RareLog } from './rare-log.ts';
import { withRequest } from './request-id.ts';
import type { TlsSource } from './tls.ts';
import { type Token, tokenGate } from './token-gate.ts';
import { patientWaits } from './waits.ts';

export interface ApiOptions {
  readonly services: Services;
  readonly log: Log;
  readonly ready: Readiness;
  readonly clock: Clock;
  /** On TCP endpoints; absent: plain text. */
  readonly tls?: TlsSource;
  /** Those in force at any time; absent: everybody who reaches an endpoint may call. */
  readonly tokens?: () => readonly Token[];
  /**
   * Names of this host that HTTP may be asked by, beside `localhost`, addresses and those of the endpoints. Every name will do
   * where tokens or TLS are asked for.
   */
  readonly httpNames?: readonly string[];
  /** In Prometheus' text format; absent: there is no /metrics. */
  readonly metrics?: MetricsText;
  /** Told of each call that has ended. */
  readonly calls?: CallMeter;
  /** Absent: nobody else asks who calls. */
  readonly caller?: CurrentCaller;
  /** A quiet stream of events over HTTP says so often that it lives, in milliseconds. */
  readonly keepAliveMs?: number;
  /** What callers may take of the daemon; absent: see `flow/limits.ts`. */
  readonly flow?: Partial<FlowLimits>;
  /** What the limits of a request's coming are multiplied by on a slow host. Default: 1. */
  readonly patience?: number;
}

/** Every surface on every endpoint. A surface more is a line here and its converters. */
export interface Api {
  /**
   * Any number of times, for any number of endpoints.
   *
   * @returns where it listens: with the real port where 0 was asked for
   * @throws Fault `refused` when the endpoint is taken or not to be had
   */
  listenGrpc(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint>;
  listenHttp(endpoint: Endpoint, options?: ListenOptions): Promise<Endpoint>;
  /** Ends what is under way with UNAVAILABLE after a short grace, and every listener. Takes less than 2 s; a second call waits for the first. */
  stop(): Promise<void>;
}

/** What is under way may end by itself for so long. */
const GRACE_MS = 300;
/** After it was told to end, the rest is cut off. */
const CUT_MS = 1_000;

export function createApi(options: ApiOptions): Api {
  const { services, clock, ready, metrics, tls, tokens, keepAliveMs, patience = 1 } = options;
  const { calls = () => undefined, caller = new CurrentCaller() } = options;
  const log = withRequest(options.log, caller.get);
  const stop = new AbortController();
  const rare = new RareLog(log, clock);
  const gate: Gate = tokens ? tokenGate(tokens, { clock, rare }) : openGate;
  const flow = new Flow(rare, options.flow);
  const flows: Flows = new WeakMap();
  const upgrades: Upgrades = new WeakMap();
  const waits = patientWaits(patience);
  const door = { log, rare, clock, gate, caller, calls, flow, waits, stopped: stop.signal, ...(tls && { tls }) };
  // No surface gets the services themselves.
  const guarded = guardServices(services, caller.get, { log, clock });
  const surface = native(guarded);
  const today = dropin(guarded, clock);
  const grpc = new GrpcServer({ ...door, services: [...surface.grpc, ...today.grpc] });
  const routing = {
    native: surface,
    log,
    flows,
    upgrades,
    stopped: stop.signal,
    ...(keepAliveMs !== undefined && { keepAliveMs }),
  };
  const ours = [nativeRoutes, imageRoutes, hostRoutes, guestRoutes, execSocket].map((routes) => routes(routing));
  ours.push(fileRoutes({ ...routing, files: guarded }));
  const surfaces = [...ours, dropinRoutes(today), ...(metrics ? [metricsRoute(metrics, caller.get)] : [])];
  const names = new Set(options.httpNames);
  // Else a browser lacks what lets in, or knows by the certificate that it is somewhere else.
  const isOpen = !tokens && !tls;
  const own = { ...(isOpen && { names: () => [...names] }), ops: opsRoutes(ready) };
  const http = new HttpServer({ ...door, flows, upgrades, surfaces, ...own });
  let stopping: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    const closed = Promise.all([grpc.close(), http.close()]);
    if (await endsWithin(GRACE_MS, closed)) return;
    stop.abort(new ConnectError('The daemon is shutting down: try again', Code.Unavailable));
    if (await endsWithin(CUT_MS, closed)) return;
    grpc.destroy();
    http.destroy();
    await closed;
  };
  return {
    listenGrpc: (endpoint, options) => grpc.listen(endpoint, options),
    listenHttp: (endpoint, options) => {
      if (endpoint.kind === 'tcp') names.add(endpoint.host);
      return http.listen(endpoint, options);
    },
    stop: () => {
      stopping ??= end();
      return stopping;
    },
  };
}
