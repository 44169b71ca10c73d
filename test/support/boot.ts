import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { FIRMWARE } from '../../src/vmm/qemu/argv.ts';

export const IMAGES = join(import.meta.dirname, '../../.cache/images');

/** Nothing waits for so long that works: seen, a boot of two minutes on a host with 15 programs for each of its CPUs. */
const PATIENCE_MS = 400_000;
/** The same for a test that boots a few. */
export const BOOTS = { timeout: 900_000 } as const;

export interface Boot {
  readonly kernel: string;
  readonly initrd?: string;
  /** Beside what every guest needs: `console=`, `panic=` and so on. */
  readonly cmdline: string;
  /** Raw images, in the guest's order; what is written to them is thrown away. */
  readonly disks?: readonly { readonly file: string; readonly readOnly?: boolean }[];
  /** MAC addresses. Each interface has a network of its own, with a DHCP server that gives 10.0.2.15 and leads nowhere. */
  readonly nics?: readonly string[];
  readonly memoryInMb?: number;
}

/** A guest without any daemon: to see what a kernel and an image do. */
export class BootedGuest implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'flintlock-boot-'));
  readonly #qemu: ChildProcess;
  readonly #ended: Promise<void>;

  constructor({ kernel, initrd, cmdline, disks = [], nics = [], memoryInMb = 256 }: Boot) {
    const words = `console=ttyS0 reboot=t panic=-1 quiet tsc_early_khz=${tscKhz()} ${cmdline}`;
    this.#qemu = spawn(
      'qemu-system-x86_64',
      [
        ...[
          '-M',
          'microvm,acpi=on',
          '-bios',
          FIRMWARE,
          '-accel',
          'tcg',
          '-cpu',
          'max,-erms,-fsrm', // as the daemon has it
          '-m',
          String(memoryInMb),
          '-device',
          'pvpanic',
        ],
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
        ...['-kernel', kernel, ...(initrd === undefined ? [] : ['-initrd', initrd]), '-append', words],
        ...['-chardev', `file,id=con,path=${join(this.#directory, 'console')}`, '-serial', 'chardev:con'],
        ...['-qmp', `unix:${join(this.#directory, 'qmp')},server=on,wait=off`],
        ...disks.flatMap(({ file, readOnly }, n) => [
          ...['-drive', `if=none,id=d${n},file=${file},format=raw,${readOnly ? 'readonly=on' : 'snapshot=on'}`],
          ...['-device', `virtio-blk-device,drive=d${n}`],
        ]),
        ...nics.flatMap((mac, n) => [
          ...['-netdev', `user,id=n${n},restrict=on`, '-device', `virtio-net-device,netdev=n${n},mac=${mac}`],
        ]),
      ],
      { stdio: 'ignore' },
    );
    this.#ended = new Promise((resolve) => this.#qemu.once('close', () => resolve()));
  }

  /** What the guest has said, without carriage returns. */
  get console(): string {
    try {
      return readFileSync(join(this.#directory, 'console'), 'utf8').replaceAll('\r', '');
    } catch {
      return '';
    }
  }

  /** @throws when it has not said that in time; what it said instead is in the error */
  async says(what: RegExp, timeoutMs = PATIENCE_MS): Promise<RegExpExecArray> {
    await expect.poll(() => this.console, { timeout: timeoutMs, interval: 50 }).toMatch(what);
    return what.exec(this.console) ?? expect.unreachable();
  }

  /** Presses the power button. */
  async pressPower(): Promise<void> {
    const qmp = connect(join(this.#directory, 'qmp'));
    await new Promise((resolve, reject) => qmp.once('data', resolve).once('error', reject));
    qmp.end('{"execute":"qmp_capabilities"}{"execute":"system_powerdown"}');
  }

  /** Until the guest has powered itself off. */
  async ends(timeoutMs = PATIENCE_MS): Promise<void> {
    const late = new Promise<never>((_, reject) => {
      setTimeout(
        () => reject(new Error(`It has not ended after ${timeoutMs} ms:\n${this.console}`)),
        timeoutMs,
      ).unref();
    });
    await Promise.race([this.#ended, late]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#qemu.exitCode === null) this.#qemu.kill('SIGKILL');
    await this.#ended;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** With ACPI the emulated machine has nothing to measure it by. */
function tscKhz(): number {
  const mhz = /^cpu MHz\s*:\s*([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  return Math.round(Number(mhz) * 1000);
}

/** Unpacks an image that the set-up or `npm run images` has made, e.g. `kernel:latest`. */
export function unpackImage(name: string, to: string): void {
  execFileSync('umoci', ['raw', 'unpack', '--image', join(IMAGES, name), to], { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Makes a file system of a tree. */
export function makeDisk(tree: string, file: string, size: string): void {
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-b', '4096', '-d', tree, '-F', file, size], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}
