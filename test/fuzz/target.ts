import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { demoSpec, poll, TestHost } from '../support/daemon.ts';
import type { Sockets } from './callers.ts';

const exec = promisify(execFile);
/** In a network namespace of its own. */
const INSPECTOR = 9_229;

export interface Memory {
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly rssBytes: number;
}

/** A real daemon with a guest that nobody may disturb, and a few microVMs to be disturbed. */
export class FuzzTarget {
  readonly host: TestHost;
  guest = '';

  constructor() {
    this.host = new TestHost({
      // Few, so that a caller who is let in does not fill the host; the scratch directory names the HTTP socket.
      flags: [
        '--managed-network',
        '10.77.0.0/24',
        '--max-microvms',
        '24',
        '--max-memory',
        '2G',
        '--log-format',
        'json',
      ],
      env: { NODE_OPTIONS: `--inspect=127.0.0.1:${INSPECTOR}`, FLINTLOCKD_VERBOSITY: '0' },
    });
  }

  get sockets(): Sockets {
    return { grpc: this.host.socket, http: join(this.host.run, 'http.sock') };
  }

  get transport() {
    const path = this.host.socket;
    return createGrpcTransport({ baseUrl: 'http://localhost', nodeOptions: { createConnection: () => connect(path) } });
  }

  async start(): Promise<void> {
    mkdirSync(this.host.images, { recursive: true });
    await this.host.start('--http-endpoint', `unix://${this.sockets.http}`);
    const guest = await this.host.create(demoSpec('guest', { namespace: 'kept', volumes: [], interfaces: [] }));
    this.guest = guest.spec?.uid ?? '';
    await this.host.until(this.guest, 'CREATED');
  }

  /** A microVM whose images are nowhere. */
  async victim(id: string): Promise<string> {
    const { spec } = await this.host.create(
      demoSpec(id, { namespace: 'victims', kernel: { image: 'registry.invalid/kernel:1' }, interfaces: [] }),
    );
    return spec?.uid ?? '';
  }

  /** Deletes every microVM but the guest: whatever was let in must not pile up. */
  async tidy(): Promise<void> {
    const { microvm } = await this.host.vms.listMicroVMs({});
    for (const { spec } of microvm)
      if (spec && spec.uid !== this.guest) await this.host.vms.deleteMicroVM({ uid: spec.uid }).catch(() => undefined); // gone meanwhile
  }

  async memory(): Promise<Memory> {
    const program = join(import.meta.dirname, 'heap.ts');
    const argv = [...this.host.inside, process.execPath, program, String(INSPECTOR)];
    const { stdout } = await exec('nsenter', argv, { timeout: 60_000, env: { ...process.env, NODE_OPTIONS: '' } });
    return JSON.parse(stdout) as Memory;
  }

  openFiles(): number {
    return readdirSync(`/proc/${this.host.pid}/fd`).length;
  }

  /** Memory when nothing of what was asked for goes on any more: measured until it no longer falls. */
  async settled(): Promise<Memory> {
    await this.tidy();
    await poll('all that was made is gone', 60_000, async () => {
      const { microvm } = await this.host.vms.listMicroVMs({});
      return microvm.length === 1 ? { is: true } : { not: `${microvm.length} microVMs are left` };
    });
    let best = await this.memory();
    for (let i = 0; i < 20; i++) {
      const next = await this.memory();
      const falls = best.heapBytes - next.heapBytes;
      best = falls > 0 ? next : best;
      if (falls < 100_000) return best;
    }
    return best;
  }

  /** Lines of the daemon's log that tell of a bug. */
  bugs(): readonly string[] {
    return this.host.log
      .split('\n')
      .filter((line) => /"level":\s*(50|60|"error"|"fatal")|bug of the daemon|unforeseen/.test(line));
  }
}
