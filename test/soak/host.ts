import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idleLayer } from '../faults/idle-kernel.ts';
import { poll, ROOT, TestHost } from '../support/daemon.ts';
import { writeLayout } from '../support/oci-layout.ts';
import { type StandInHost, standInHost } from '../support/stand-in-providers.ts';

/** In the daemon's network namespace. */
const INSPECTOR = 9229;
const REGISTRY = '127.0.0.1:5001';
/** Room for the witness, and some dozen microVMs of the tiny image; soon full. */
const STATE_MB = 640;

export interface Usage {
  /** Open files. */
  readonly fds: number;
  /** How many of each kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly heapMb: number;
  readonly rssMb: number;
}

/** A daemon on a small file system of its own, beside a registry that is quick and slow, with a clock that jumps. */
export class SoakHost {
  readonly at: TestHost;
  readonly #standIns: StandInHost | undefined;
  /** `slow` comes from the registry, a piece each 100 ms. */
  readonly images: { readonly quick: string; readonly slow: string };
  readonly #ballast: string;
  #room: NodeJS.Timeout | undefined;

  /** @param provider - of which there is a stand-in; absent: the daemon's default, as it is */
  constructor(provider?: string) {
    this.#standIns = provider === undefined ? undefined : standInHost();
    const chosen = provider === undefined ? [] : ['--default-provider', provider];
    this.at = new TestHost({
      ...this.#standIns?.options,
      flags: [
        ...['--managed-network', '10.77.0.0/24', '--insecure-registry', REGISTRY, '--maximum-retry', '1000'],
        ...[...(this.#standIns?.flags ?? []), ...chosen],
      ],
      env: {
        ...this.#standIns?.options.env,
        NODE_OPTIONS: `--import=${join(ROOT, 'test/soak/jumping-clock.mjs')} --inspect=127.0.0.1:${INSPECTOR}`,
      },
    });
    this.images = { quick: `oci:${this.at.images}/idle:v1`, slow: `${REGISTRY}/slow/idle:v1` };
    this.#ballast = join(this.at.state, 'ballast');
  }

  async open(): Promise<void> {
    const { at } = this;
    const disk = join(at.directory, 'state.img');
    execFileSync('truncate', ['--size', `${STATE_MB}M`, disk]);
    execFileSync('mkfs.ext4', ['-q', '-m', '0', disk]);
    mkdirSync(at.state, { mode: 0o700 });
    execFileSync('mount', ['-o', 'loop', disk, at.state]);
    execFileSync('chmod', ['700', at.state]);
    rmSync(join(at.state, 'lost+found'), { recursive: true });
    const layer = idleLayer(this.#standIns ? 'linux' : undefined);
    // Something that takes its time.
    const more = [
      { name: 'noise', data: Buffer.from(Array.from({ length: 262_144 }, (_, i) => (i * i * 7_919) & 0xff)) },
    ];
    await writeLayout(join(at.images, 'idle'), { v1: { layers: [layer] } });
    await writeLayout(join(at.images, 'far'), { v1: { layers: [layer, more] } });
    await at.hold();
    at.spawnInside(process.execPath, join(ROOT, 'test/stand-ins/registry.ts'), join(at.images, 'far'), '5001');
    at.env = { FLINTLOCK_TEST_CLOCK: join(at.directory, 'clock') };
    await at.start();
  }

  async close(): Promise<void> {
    clearTimeout(this.#room);
    await this.at.close().catch(() => undefined); // its directory is a mount until the next lines
    try {
      execFileSync('umount', ['--lazy', this.at.state], { stdio: 'ignore' });
    } catch {
      // It was not mounted yet.
    }
    await this.at.close();
    this.#standIns?.remove();
  }

  /** Only some pages are left, for so long. */
  fill(milliseconds: number): void {
    clearTimeout(this.#room);
    this.#room = setTimeout(() => this.empty(), milliseconds);
    const left = Number(
      execFileSync('df', ['--output=avail', '-B1', this.at.state], { encoding: 'utf8' }).split('\n')[1],
    );
    const bytes = left - 64 * 1_024;
    if (bytes <= 0 || existsSync(this.#ballast)) return;
    try {
      execFileSync('fallocate', ['--length', String(bytes), this.#ballast], { stdio: 'ignore' });
    } catch {
      // The daemon took some of it meanwhile: it is full.
    }
  }

  empty(): void {
    clearTimeout(this.#room);
    rmSync(this.#ballast, { force: true });
  }

  /** Sets the daemon's clock off by so much. */
  jump(milliseconds: number): void {
    writeFileSync(join(this.at.directory, 'clock'), String(milliseconds));
  }

  /** What the daemon that runs holds, its garbage collected. */
  async usage(): Promise<Usage> {
    const told = await this.at.tool(process.execPath, join(ROOT, 'test/fuzz/heap.ts'), String(INSPECTOR));
    const { heapBytes, externalBytes, rssBytes } = JSON.parse(told) as Record<string, number>;
    const mb = (bytes = 0): number => Math.round((bytes / (1 << 20)) * 10) / 10;
    return {
      ...this.#openFiles(),
      heapMb: mb((heapBytes ?? 0) + (externalBytes ?? 0)),
      rssMb: mb(rssBytes),
    };
  }

  #openFiles(): Pick<Usage, 'fds' | 'kinds'> {
    const directory = `/proc/${this.at.pid}/fd`;
    const kinds: Record<string, number> = {};
    let fds = 0;
    for (const name of readdirSync(directory)) {
      let target: string;
      try {
        target = readlinkSync(join(directory, name));
      } catch {
        continue; // closed meanwhile
      }
      const kind = target.replace(this.at.directory, '').replaceAll(/\d+/g, 'N');
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      fds++;
    }
    return { fds, kinds };
  }

  /** `kill -9`, and the next. @param meanwhile - befalls the host while there is none */
  async crash(meanwhile: () => void): Promise<void> {
    await this.at.kill9();
    meanwhile();
    await this.#start();
  }

  async restart(meanwhile: () => void): Promise<void> {
    await this.at.stop();
    meanwhile();
    await this.#start();
  }

  /** As a service manager: again, while the disk has no room for the database's own files. */
  async #start(): Promise<void> {
    await poll('the daemon starts', 60_000, async () => {
      const from = this.at.log.length;
      try {
        await this.at.start();
        return { is: undefined };
      } catch (error) {
        const told = this.at.log.slice(from);
        if (!told.includes('no space left on the disk')) throw error;
        return { not: told };
      }
    });
  }

  /** Waits for what ends by itself. */
  async untilAuditIsClean(): Promise<void> {
    await poll('the audit is clean', 30_000, async () => {
      const { leaked, missing } = await this.at.audit();
      return leaked.length + missing.length === 0 ? { is: undefined } : { not: [...leaked, ...missing].join('\n') };
    });
  }
}
