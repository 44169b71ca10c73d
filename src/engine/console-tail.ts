import type { Uid } from '../domain/microvm.ts';
import type { Log } from '../ports/log.ts';

/** The end of a guest's console, as text. One that cannot be read is empty: it must not hide how the guest ended. */
export const tailOrNothing =
  (consoleTail: (uid: Uid) => Promise<string>, log: Log) =>
  async (uid: Uid): Promise<string> => {
    try {
      return await consoleTail(uid);
    } catch (error) {
      log.warn('the console of a microVM could not be read', { uid, error });
      return '';
    }
  };
