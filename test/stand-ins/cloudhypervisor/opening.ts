import { closeSync, openSync, readSync } from 'node:fs';
import { HybridVsock } from '../hybrid-vsock.ts';
import type { Disk, VmConfig } from './config.ts';
import type { MayOpen } from './landlock.ts';
import { type Overlay, overlayIn } from './overlay.ts';
import { isBzImage, osError, Refusal } from './refusal.ts';

/** A disk that is open. */
export interface Taken extends Disk {
  readonly fd: number;
  readonly overlay?: Overlay;
  /** Of what is below an overlay. */
  readonly below?: number;
}

const DEVICES = 'Error from device manager';

/** Opens what a machine is made of, as the user that it runs as: devices before the kernel. What is not kept is closed. */
export class Opening implements Disposable {
  readonly #what: string;
  readonly #mayOpen: MayOpen;
  #opened: number[] = [];

  /** @param what - in the words of an error */
  constructor(what: string, mayOpen: MayOpen) {
    this.#what = what;
    this.#mayOpen = mayOpen;
  }

  devices({ disks = [], net = [], rng }: VmConfig): readonly Taken[] {
    const taken = disks.map((disk) => this.#disk(disk));
    for (const { tap, device } of net) {
      if (device === undefined)
        throw this.#fails(DEVICES, `Cannot open tap ${tap ?? 'vmtap0'}`, 'Operation not permitted (os error 1)');
      if (!device.startsWith('none/')) continue;
      throw this.#fails(DEVICES, 'Cannot create virtio-net device', 'Failed to open taps');
    }
    if (rng) this.#open(rng.src, 'r', DEVICES, 'Cannot create virtio-rng device');
    return taken;
  }

  vsock(path: string): HybridVsock {
    try {
      return new HybridVsock(path);
    } catch (error) {
      throw this.#fails(
        DEVICES,
        'Cannot create virtio-vsock backend',
        'Error binding to the host-side Unix socket',
        osError(error),
      );
    }
  }

  payload({ kernel: path = '', initramfs }: VmConfig['payload'] & object = {}): void {
    const kernel = this.#open(path, 'r', 'Cannot open kernel file');
    const head = Buffer.alloc(4);
    readSync(kernel, head, 0, 4, 0);
    if (head.toString('latin1') !== '\x7fELF' && !isBzImage(kernel))
      throw this.#fails('Cannot load the kernel into memory', 'Invalid ELF magic number');
    if (initramfs !== undefined) this.#open(initramfs, 'r', 'Cannot open initramfs file');
  }

  /** @returns all that is open, which is the caller's from then on */
  keep(): readonly number[] {
    const opened = this.#opened;
    this.#opened = [];
    return opened;
  }

  [Symbol.dispose](): void {
    for (const fd of this.keep()) closeSync(fd);
  }

  #disk(disk: Disk): Taken {
    const where = [DEVICES, `Failed to open disk path: ${disk.path}`] as const;
    const fd = this.#open(disk.path ?? '', disk.readonly ? 'r' : 'r+', ...where);
    const overlay = overlayIn(fd);
    const { image_type: type = 'Unknown' } = disk;
    if (overlay?.base !== undefined && disk.backing_files !== true)
      throw this.#fails(...where, 'Maximum disk nesting depth exceeded');
    const below =
      overlay?.base === undefined
        ? undefined
        : this.#open(overlay.base, 'r', ...where, `Backing file I/O ${overlay.base}`);
    const found = overlay ? 'Qcow2' : 'Raw';
    if (type !== 'Unknown' && type !== found)
      throw this.#fails(
        DEVICES,
        `Disk image type does not match expected type: specified = ${type}, detected = ${found}`,
      );
    return { ...disk, fd, ...(overlay && { overlay }), ...(below !== undefined && { below }) };
  }

  #open(path: string, flags: 'r' | 'r+', ...words: string[]): number {
    try {
      if (!this.#mayOpen(path, flags === 'r+')) throw Object.assign(new Error(), { code: 'EACCES' });
      const fd = openSync(path, flags);
      this.#opened.push(fd);
      return fd;
    } catch (error) {
      throw this.#fails(...words, osError(error));
    }
  }

  #fails(...words: string[]): Refusal {
    return new Refusal(500, 'Error from API', this.#what, ...words);
  }
}
