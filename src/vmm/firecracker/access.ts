import { allDone } from '../../base/all-done.ts';
import type { Files } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { ownLog } from './layout.ts';

interface Hands {
  readonly files: Pick<Files, 'own' | 'setMode' | 'stat' | 'write'>;
}

const READ_BY_ALL = 0o444;
const ROOT = 0;

/**
 * Gives the microVM's own user what Firecracker opens as him: his disks, and the right to read what all share. Those lie where
 * only root may enter, so it helps nobody whom they are not given open.
 *
 * The directory of its sockets is lent to him until its own are there: {@link takeBack}.
 */
export async function prepare(config: VmmConfig, { files }: Hands): Promise<void> {
  const { user, runDirectory, stateDirectory, kernel, initrd, disks } = config;
  const readable = async (path: string): Promise<void> => {
    const mode = (await files.stat(path))?.mode;
    if (mode !== undefined && (mode & READ_BY_ALL) !== READ_BY_ALL) await files.setMode(path, mode | READ_BY_ALL);
  };
  const ownLogOf = async (): Promise<void> => {
    await files.write(ownLog(config), '');
    await files.own(ownLog(config), user);
  };
  await allDone([
    ownLogOf(),
    readable(kernel),
    ...(initrd === undefined ? [] : [readable(initrd)]),
    ...disks.map(async ({ path, readOnly }) => {
      const isOwn = !readOnly || path.startsWith(`${stateDirectory}/`);
      if (!isOwn) await readable(path);
      // What is not there is told when it is opened.
      else if (await files.stat(path)) await files.own(path, user);
    }),
  ]);
  await files.own(runDirectory, user);
}

/**
 * Once Firecracker has made its sockets, and before its guest runs: what has broken out of that must not put another socket in the place of
 * its own, which we would speak to as root.
 */
export const takeBack = ({ runDirectory }: Pick<VmmConfig, 'runDirectory'>, files: Pick<Files, 'own'>): Promise<void> =>
  files.own(runDirectory, ROOT);
