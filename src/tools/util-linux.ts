import type { Tool } from './tool.ts';

/** Every program is run through it, and ends with the daemon: where it cannot do that, nothing works. */
export const setpriv: Tool = {
  program: 'setpriv',
  package: 'util-linux',
  need: 'each',
  version: ['--version'],
  trial: async ({ run, limits }) => void (await run(['setpriv', '--pdeathsig', 'KILL', '--', 'true'], limits)),
};
