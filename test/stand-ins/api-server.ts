/**
 * The API over a database with so many microVMs, in a process of its own,
 * whose heap can be bounded and measured: `node api-server.ts COUNT BYTES`.
 * No host is touched. It tells its endpoints, and, asked for it, what it
 * holds after its garbage is collected.
 */
import { createApi } from '../../src/api/api.ts';
import type { FlowLimits } from '../../src/api/flow/limits.ts';
import type { MicroVm, Uid } from '../../src/domain/microvm.ts';
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
const first = host.vm(await host.create({ id: 'vm0', metadata }));
const forgetEvents = (): void => store.purge(0, Number.MAX_SAFE_INTEGER); // they would have it all again
forgetEvents();
for (let i = 1; i < Number(count); i++) {
  store.create({ vm: another(first, i), metadata, uniqueId: true });
  if (i % 100 === 0) forgetEvents();
}
forgetEvents();

/** As the first, with names and numbers of its own: to have each made takes longer the more there are. */
function another(vm: MicroVm, i: number): MicroVm {
  const [uid, hex] = [vm.uid.slice(0, -6) + String(i).padStart(6, '0'), i.toString(16).padStart(6, '0')];
  const mac = `52:54:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`;
  const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  const interfaces = vm.spec.interfaces.map((nic) => ({
    ...nic,
    publishedPorts: nic.publishedPorts.map((port) => ({ ...port, hostPort: 10_000 + i })),
  }));
  const { metadataPort: _, ...allocation } = vm.allocation;
  const eth0 = { ...allocation.interfaces.eth0, mac, address, hostname: `vm${i}` };
  return {
    ...vm,
    uid: uid as Uid,
    spec: { ...vm.spec, id: `vm${i}`, interfaces },
    allocation: { ...allocation, vmmUser: 100_000 + i, interfaces: { ...allocation.interfaces, eth0 } },
  };
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
