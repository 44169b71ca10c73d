import { chooseUsers, isIn, type OthersUsers, othersUsers, sharersOf, type UserRange } from '../domain/user-ranges.ts';
import { files } from '../host/files.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { Config } from './settings.ts';

/** As they are on this host now. */
export async function readOthersUsers(): Promise<readonly OthersUsers[]> {
  const read = async (path: string): Promise<string> => Buffer.from((await files.read(path)) ?? []).toString();
  return othersUsers(await read('/etc/passwd'), await read('/etc/subuid'));
}

/** Who is a VMM's user, too, can end it and read its memory. */
export async function usersOf(setting: Config['vmm-uid-range'], store: Store, log: Log): Promise<UserRange> {
  const others = await readOthersUsers();
  const range = setting === 'auto' ? chooseUsers(others) : setting;
  const sharers = sharersOf(range, others);
  if (sharers.length > 0)
    log.warn('users for VMMs are others’ too, and are left out: give a range of their own', {
      ...{ setting: '--vmm-uid-range', range: `${range.first}-${range.last}`, sharers },
    });
  // Given before others came, or by an earlier version.
  const shared = store
    .list({})
    .map(({ allocation }) => allocation.vmmUser)
    .filter((user) => isIn(user, others));
  if (shared.length > 0)
    log.warn(
      'users of microVMs are others’ too, who could end their VMMs and read their memory: make these microVMs anew',
      {
        users: shared.slice(0, 20),
        sharers: shared.slice(0, 3).flatMap((user) => sharersOf({ first: user, last: user }, others)),
      },
    );
  return range;
}
