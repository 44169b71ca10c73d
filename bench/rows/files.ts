import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../test/support/daemon.ts';
import { execIn } from '../../test/support/exec-in.ts';
import type { Group, Run } from '../measure/group.ts';
import { type Guest, timed, withGuest } from '../measure/guest.ts';
import type { Measure } from '../row.ts';

const MEGABYTES = 100;
const FILES = 1_000;
const FILE_BYTES = 1_000;
const RUNS = 3;

const exec = promisify(execFile);

/** Files by `flintlock cp`: one that is large beside the channel itself, many that are small beside a tar of them by `exec`. */
export const files: Group = {
  rows: ['cp-out', 'cp-in', 'cp-many-out', 'cp-many-in'],
  needs: ['root'],
  measure: (run: Run) =>
    withGuest({ memoryInMb: 512 }, async (guest) => {
      const copies = new Copies(guest, run);
      const measures: [string, Measure][] = [];
      if (run.wants('cp-out') || run.wants('cp-in')) measures.push(...(await copies.large()));
      if (run.wants('cp-many-out') || run.wants('cp-many-in')) measures.push(...(await copies.many()));
      return Object.fromEntries(measures);
    }),
};

class Copies {
  readonly #guest: Guest;
  readonly #run: Run;
  readonly #here: string;

  constructor(guest: Guest, run: Run) {
    this.#guest = guest;
    this.#run = run;
    this.#here = join(guest.lab.host.directory, 'copies');
    mkdirSync(this.#here);
  }

  async large(): Promise<[string, Measure][]> {
    const out = { ours: [] as number[], reference: [] as number[], paired: true };
    const into = { ours: [] as number[], reference: [] as number[], paired: true };
    // In memory: no disk of either side is what is measured.
    await this.#inGuest(
      `mkdir /big && mount -t tmpfs tmpfs /big && dd if=/dev/urandom of=/big/a bs=1M count=${MEGABYTES}`,
    );
    const here = join(this.#here, 'a');
    for (let i = 0; i < this.#run.runs(RUNS); i++) {
      out.ours.push(rate(await timed(() => this.#cp('VM:/big/a', here))));
      out.reference.push(await this.#channel());
      into.ours.push(rate(await timed(() => this.#cp(here, 'VM:/big/b'))));
      into.reference.push(await this.#channel());
      await this.#inGuest('cmp /big/a /big/b && rm /big/b');
      rmSync(here);
    }
    return [
      ['cp-out', out],
      ['cp-in', into],
    ];
  }

  async many(): Promise<[string, Measure][]> {
    const out = { ours: [] as number[], reference: [] as number[], paired: true };
    const into = { ours: [] as number[], reference: [] as number[], paired: true };
    const tree = join(this.#here, 'tree');
    mkdirSync(tree);
    for (let i = 0; i < FILES; i++) writeFileSync(join(tree, `file-${i}`), Buffer.alloc(FILE_BYTES, i));
    for (let i = 0; i < this.#run.runs(RUNS); i++) {
      into.ours.push(await timed(() => this.#cp(tree, 'VM:/ours')));
      into.reference.push(
        await timed(() =>
          this.#tar('tar c -C "$TREE" . | "$CLI" exec -i "$VM" -- sh -c "mkdir /tar && tar x -C /tar"'),
        ),
      );
      out.ours.push(await timed(() => this.#cp('VM:/ours', join(this.#here, 'back'))));
      mkdirSync(join(this.#here, 'tar'));
      out.reference.push(await timed(() => this.#tar('"$CLI" exec "$VM" -- tar c -C /tar . | tar x -C "$BACK"')));
      for (const made of ['back', 'tar'])
        if (!existsSync(join(this.#here, made, `file-${FILES - 1}`))) throw new Error(`not all came to ${made}`);
      for (const made of ['back', 'tar']) rmSync(join(this.#here, made), { recursive: true });
      await this.#inGuest('rm -r /ours /tar');
    }
    return [
      ['cp-many-out', out],
      ['cp-many-in', into],
    ];
  }

  #cp(from: string, to: string): Promise<unknown> {
    const [source, target] = [from, to].map((path) => path.replace(/^VM:/, `${this.#guest.uid}:`));
    return exec(CLI, ['--host', `unix://${this.#guest.lab.host.socket}`, 'cp', '-q', source ?? '', target ?? '']);
  }

  #tar(script: string): Promise<unknown> {
    const { lab, uid } = this.#guest;
    const env = {
      ...{ CLI, VM: uid, TREE: join(this.#here, 'tree'), BACK: join(this.#here, 'tar') },
      ...{ PATH: process.env.PATH, FLINTLOCK_HOST: `unix://${lab.host.socket}` },
    };
    return exec('sh', ['-ec', script], { env });
  }

  /** Megabytes a second. */
  async #channel(): Promise<number> {
    return rate(await this.#guest.floor.ask<number>({ do: 'echo', bytes: MEGABYTES << 20 }));
  }

  async #inGuest(script: string): Promise<void> {
    const { code, out } = await execIn(this.#guest.lab.host, this.#guest.uid, script);
    if (code !== 0) throw new Error(`${script} ended with ${code}: ${out}`);
  }
}

const CLI = join(ROOT, 'bin/flintlock');
const rate = (ms: number): number => MEGABYTES / (ms / 1_000);
