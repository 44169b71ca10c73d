/**
 * The API over a database with so many microVMs, in a process of its own,
 * whose heap can be bounded and measured: `node api-server.ts COUNT BYTES`.
 * No host is touched. It tells its endpoints, and, asked for it, what it
 * holds after its garbage is collected.
 */
import { createApi } from '../../src/api/api.ts';
import type { FlowLimits } from '../../src/api/flow/limits.ts';
import { clock } from '../../src/host/clock.ts';
import { FakeHost } from '../support/fake-host.ts';
import { memoryLog } from '../support/memory-log.ts';

/** What it is asked. */
export type Question = 'memory' | 'log';
export interface Endpoints {
  readonly grpc: number;
  readonly http: number;
}
/** In bytes. */
export interface Memory {
  readonly heapUsed: number;
  readonly external: number;
  readonly rss: number;
}

const [count = '100', bytes = '0', limits = '{}'] = process.argv.slice(2);
// Nothing is made of them.
const host = new FakeHost({ look: () => async () => undefined });
const metadata = Number(bytes) > 0 ? { 'user-data': Buffer.alloc((Number(bytes) * 3) >> 2, 7).toString('base64') } : {};
const { services, store } = host.life;
for (let i = 0; i < Number(count); i++) {
  await host.create({ id: `vm${i}`, metadata });
  store.purge(0, Number.MAX_SAFE_INTEGER); // the events would have it all again
}

const log = memoryLog();
const flow = JSON.parse(limits) as Partial<FlowLimits>;
const api = createApi({ services, log, clock, ready: () => undefined, flow });
const port = (endpoint: Awaited<ReturnType<typeof api.listenGrpc>>): number =>
  endpoint.kind === 'tcp' ? endpoint.port : 0;
const [grpc, http] = [
  port(await api.listenGrpc({ kind: 'tcp', host: '127.0.0.1', port: 0 })),
  port(await api.listenHttp({ kind: 'tcp', host: '127.0.0.1', port: 0 })),
];
process.on('message', (question: Question) => {
  if (question === 'log') {
    process.send?.(log.lines.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`));
    return;
  }
  const { gc } = globalThis as { gc?: () => void };
  for (let i = 0; i < 2; i++) gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  process.send?.({ heapUsed, external, rss } satisfies Memory);
});
process.on('disconnect', () => process.exit());
process.send?.({ grpc, http } satisfies Endpoints);
