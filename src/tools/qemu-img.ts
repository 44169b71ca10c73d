import { join } from 'node:path';
import { expected, type Tool } from './tool.ts';

/** Overlays: a microVM's own writes over an image that many share. */
export const qemuImg: Tool = {
  program: 'qemu-img',
  package: 'qemu-utils',
  need: 'overlays',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    const backing = join(directory, 'backing');
    const overlay = join(directory, 'overlay');
    await files.write(backing, new Uint8Array(1 << 20));
    await run(
      ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing, overlay, String(2 << 20)],
      limits,
    );
    const head = Buffer.from((await files.read(overlay, { maxBytes: 64 << 10 })) ?? []);
    const isOverlay = head.indexOf('QFI\xfb', 0, 'latin1') === 0 && head.includes(backing);
    expected('qemu-img made no qcow2 file with the backing file that it was given', isOverlay);
  },
};
