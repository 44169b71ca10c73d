import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescService } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { onTestFinished } from 'vitest';
import { type Api, type ApiOptions, createApi } from '../../src/api/api.ts';
import { type Endpoint, formatEndpoint } from '../../src/api/endpoint.ts';
import { digestOf, type Token } from '../../src/api/token-gate.ts';
import type { Access } from '../../src/domain/caller.ts';
import { clock } from '../../src/host/clock.ts';
import type { Services } from '../../src/service/services.ts';
import { fakeServices } from './fake-services.ts';
import { memoryLog } from './memory-log.ts';

export interface TestApi {
  readonly api: Api;
  readonly grpc: Endpoint;
  readonly http: Endpoint;
  readonly log: ReturnType<typeof memoryLog>;
  client<S extends DescService>(service: S): Client<S>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

/** An API on loopback, with one listener of each kind; it ends with the test. */
export async function startApi(services: Partial<Services> = {}, options: Partial<ApiOptions> = {}): Promise<TestApi> {
  const log = memoryLog();
  const api = createApi({ services: fakeServices(services), log, clock, ready: () => undefined, ...options });
  onTestFinished(() => api.stop());
  const grpc = await api.listenGrpc({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  const http = await api.listenHttp({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  return {
    api,
    grpc,
    http,
    log,
    client: (service) => createClient(service, transportTo(grpc)),
    fetch: (path, init) => fetch(`http://${formatEndpoint(http)}${path}`, init),
  };
}

export interface TestToken {
  readonly name: string;
  readonly secret: string;
  readonly access?: Access;
  readonly namespace?: string;
  readonly withdrawn?: AbortSignal;
}

/** Tokens in force, as the API takes them. */
export function tokensOf(...tokens: readonly TestToken[]): () => readonly Token[] {
  const all = tokens.map(({ secret, ...rest }): Token => {
    const standard = { access: 'read-write' as const, withdrawn: new AbortController().signal };
    return { ...standard, ...rest, digest: digestOf(secret) };
  });
  return () => all;
}

/** How connect's client speaks gRPC to an endpoint. Its connections end with the test. */
export function transportTo(endpoint: Endpoint) {
  return createGrpcTransport({
    baseUrl: endpoint.kind === 'tcp' ? `http://${formatEndpoint(endpoint)}` : 'http://localhost',
    nodeOptions: endpoint.kind === 'unix' ? { createConnection: () => connect(endpoint.path) } : {},
  });
}

export async function scratchDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'flintlock-api-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
