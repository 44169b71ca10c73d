import { chooseUsers, othersUsers, ownOf, parseUserRange, sharersOf } from '../../domain/user-ranges.ts';
import type { Check } from '../check.ts';
import { textOf } from '../look.ts';

const NAME = 'VMM users';
const FIX = 'Give users of their own: flintlockd run --vmm-uid-range FIRST-LAST, or auto';

/** Who is a VMM's user, too, can end it and read its memory. */
export const users: Check = {
  name: NAME,
  async examine(host) {
    const read = async (path: string): Promise<string> => (await textOf(host, path)) ?? '';
    const others = othersUsers(await read('/etc/passwd'), await read('/etc/subuid'));
    const setting = host.vmmUsers ?? 'auto';
    const range = setting === 'auto' ? chooseUsers(others) : parseUserRange(setting);
    if (!range)
      return [{ name: NAME, status: 'fail', found: `--vmm-uid-range ${setting} is no range of users`, fix: FIX }];
    const words = `${range.first}-${range.last}`;
    const sharers = sharersOf(range, others);
    if (sharers.length === 0) return [{ name: NAME, status: 'ok', found: `${words}, which nobody else has`, fix: '' }];
    const own = ownOf(range, others);
    const found = `of ${words}, ${sharers.join(', ')} have some: no VMM gets these, and ${own} are left`;
    return [{ name: NAME, status: own > 0 ? 'warn' : 'fail', found, fix: FIX }];
  },
};
