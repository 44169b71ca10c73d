import { join } from 'node:path';
import { Fault } from '../domain/fault.ts';
import type { Tool } from './tool.ts';

/** Every program is run through it, and ends with the daemon: where it cannot do that, nothing works. */
export const utilLinux: Tool = {
  program: 'setpriv',
  package: 'util-linux',
  need: 'each',
  version: ['--version'],
  async trial({ run, files, directory, limits }) {
    await run(['setpriv', '--pdeathsig', 'KILL', '--', 'true'], limits);
    const file = join(directory, 'file');
    await files.write(file, new Uint8Array(64 << 10));
    try {
      await run(['fallocate', '--punch-hole', '--offset', '0', '--length', '4096', '--', file], limits);
    } catch (error) {
      // The file system of /tmp may not be able to; that of the state directory may.
      if (!(error instanceof Fault) || !/not supported/i.test(error.message)) throw error;
    }
  },
};
