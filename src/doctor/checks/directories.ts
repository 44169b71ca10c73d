import type { Check, Result } from '../check.ts';
import { may, nearestDirectory, whoAmI } from '../look.ts';

/** State and run-time directory: there, or can be made. */
export const directories: Check = {
  name: 'directories',
  async examine(host) {
    const { root } = await whoAmI(host);
    const wanted = [
      { name: 'state directory', path: host.stateDirectory, flag: '--state-dir' },
      { name: 'run directory', path: host.runDirectory, flag: '--run-dir' },
    ];
    return Promise.all(
      wanted.map(async ({ name, path, flag }): Promise<Result> => {
        const nearest = await nearestDirectory(host, path);
        const resolved = await host.files.realPath(nearest);
        const kind = resolved === undefined ? undefined : (await host.files.stat(resolved))?.kind;
        if (kind !== 'directory')
          return {
            name,
            status: 'fail',
            found: `${nearest} is no directory`,
            fix: `Choose another: flintlockd run ${flag} DIR`,
          };
        if (await may(host, 'w', nearest)) {
          const found = nearest === path ? `${path} is writable` : `${path} can be made`;
          return { name, status: 'ok', found, fix: '' };
        }
        const found = `${nearest} is not writable for this user`;
        return root
          ? { name, status: 'fail', found, fix: `Mount it read-write, or choose another: flintlockd run ${flag} DIR` }
          : { name, status: 'warn', found, fix: 'Run the daemon with sudo; to check it all: sudo flintlock doctor' };
      }),
    );
  },
};
