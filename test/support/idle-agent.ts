import { Fault } from '../../src/domain/fault.ts';
import type { GuestAgent } from '../../src/ports/guest-agent.ts';
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

/** An agent that can nothing: what a test is about is put over it. */
export const idleAgent = (features: readonly string[] = []): GuestAgent => ({
  info: { version: '1', uname: 'Linux', features },
  files: NO_FILES,
  async *exec() {},
  async *ssh() {},
  async *connect() {},
  async *statistics() {},
  dial: () => {
    throw new Error('it was dialled');
  },
});
