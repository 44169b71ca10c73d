import { TimeLimit } from '../../base/time-limit.ts';
import type { Acts } from '../../ports/acts.ts';

/** Ends an act whose time is over, and says so in the act's own words. What came before that is thrown as it is. */
export const limited = (acts: Acts): Acts => ({
  marked: (act) => acts.marked(act),
  async run(act, work) {
    const { limit, signal } = act;
    if (!limit) return acts.run(act, work);
    using time = new TimeLimit(signal, limit.ms);
    try {
      return await acts.run({ ...act, signal: time.signal }, work);
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw time.isLate ? limit.late(limit.ms, cause) : cause;
    }
  },
});
