import { Fault } from '../../src/domain/fault.ts';
import type { GuestFiles } from '../../src/ports/guest-files.ts';

const none = (): never => {
  throw new Fault('refused', 'nothing is known of files');
};

/** Of an agent whose files nobody asks for. */
export const NO_FILES: GuestFiles = {
  stat: async () => none(),
  list: none,
  read: none,
  write: async () => none(),
  change: async () => none(),
};
