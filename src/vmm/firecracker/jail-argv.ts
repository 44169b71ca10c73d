import type { VmmConfig } from '../../ports/vmm.ts';
import { firecrackerArguments } from './argv.ts';
import { type Jail, kibOf, placeOf } from './jail.ts';
import { jailedPaths, shownFiles } from './jail-layout.ts';
import { JAIL_STARTER } from './jail-perl.ts';
import { JAILED_API_SOCKET } from './layout.ts';
import { readyWords } from './ready-perl.ts';

/**
 * The whole command line that starts a Firecracker in a jail, without a machine: perl makes the jail, becomes the jailer, and that
 * Firecracker: one process from its beginning.
 *
 * No cgroup is asked of the jailer: it is in its own by then, as every VMM. No `--new-pid-ns`: there the jailer ends, and how
 * Firecracker ends nobody is told. No `--daemonize`: the console would be lost.
 *
 * @see https://github.com/firecracker-microvm/firecracker/blob/main/docs/jailer.md
 */
export function jailedArgv(
  config: Pick<
    VmmConfig,
    'uid' | 'user' | 'runDirectory' | 'stateDirectory' | 'kernel' | 'initrd' | 'disks' | 'nics' | 'metadata' | 'options'
  >,
  jail: Jail,
): [string, ...string[]] {
  return [
    ...(['perl', '-e', JAIL_STARTER, '--'] as const),
    ...readyWords(config),
    ...[config.runDirectory, placeOf(jail, config.uid), String(kibOf(jail))],
    ...shownFiles(config).flatMap(({ path, name, readOnly }) => [readOnly ? 'r' : 'w', path, name]),
    '--',
    jail.jailer,
    ...['--id', config.uid],
    ...['--exec-file', jail.program],
    ...['--uid', String(config.user)],
    ...['--gid', String(config.user)],
    ...['--chroot-base-dir', config.runDirectory],
    '--',
    ...firecrackerArguments(JAILED_API_SOCKET, jailedPaths(config), config),
  ];
}
