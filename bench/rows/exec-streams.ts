import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentProgram } from '../../guest/agent.ts';
import { poll } from '../../test/support/daemon.ts';
import type { Group, Run } from '../measure/group.ts';
import { type Guests, guestsOf } from '../measure/guest.ts';
import { Lab } from '../measure/lab.ts';

const MICROVMS = 100;
const EACH = 10;
const AT_ONCE = 10;
const KB = 1e3;
/** Many at once are met late. */
const ANSWERS_MS = 120_000;
/** One caller may have 512 streams, and one connection of his 256. */
const TOKENS = ['bench-one', 'bench-two', 'bench-three', 'bench-four', 'bench-five'] as const;

/**
 * What an open exec costs the daemon: of stub VMMs, whose guests' agents are processes of this machine behind the sockets where a
 * guest's port would be.
 */
export const execStreams: Group = {
  rows: ['exec-streams'],
  needs: ['root', 'perl'],
  async measure(run: Run) {
    const directory = mkdtempSync(join(tmpdir(), 'flintlock-bench-'));
    const tokens = join(directory, 'tokens');
    writeFileSync(
      tokens,
      TOKENS.map((name) => `- {name: ${name}, token: ${name}-${name}, access: read-write}\n`).join(''),
      {
        mode: 0o600,
      },
    );
    const lab = await Lab.start({ stub: true, flags: ['--tokens-file', tokens] });
    const end = new AbortController();
    try {
      const uids: string[] = [];
      while (uids.length < run.crowd(MICROVMS))
        uids.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => withAgent(lab)))));
      const callers = TOKENS.map((name) => guestsOf(lab.host, `${name}-${name}`));
      const callerOf = (i: number): Guests => callers[i % callers.length] ?? guestsOf(lab.host);
      // Code that is run for the first time is no stream's.
      await Promise.all(uids.slice(0, AT_ONCE).map((uid, i) => idle(callerOf(i), uid, end.signal)));
      const before = await lab.held();
      for (let k = 0; k < EACH; k++)
        for (let i = 0; i < uids.length; i += AT_ONCE)
          await Promise.all(uids.slice(i, i + AT_ONCE).map((uid, j) => idle(callerOf(i + j + k), uid, end.signal)));
      const count = uids.length * EACH;
      const held = await lab.held();
      return {
        'exec-streams': {
          ours: [(held.live - before.live) / count / KB],
          reference: [(held.rss - before.rss) / count / KB],
        },
      };
    } finally {
      end.abort();
      await lab.close();
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

async function withAgent(lab: Lab): Promise<string> {
  const uid = await lab.created();
  const path = lab
    .vmm(uid)
    .argv.map((word) => /^socket,id=agent,path=([^,]+)/.exec(word)?.[1])
    .find((found) => found !== undefined);
  if (path === undefined) throw new Error('the microVM has no port for an agent');
  // Ended with the lab, as all that names its directory.
  await once(lab.host.spawnInside(agentProgram(), '--port', path), 'spawn');
  // The daemon may have looked before there was one, and says then that there is no way to any.
  const guests = guestsOf(lab.host);
  return poll(`the agent of ${uid} answers`, ANSWERS_MS, () =>
    guests.info({ uid }).then(
      () => ({ is: uid }),
      (error: unknown) => ({ not: String(error) }),
    ),
  );
}

/** An exec that says one word and then nothing, for as long as nobody ends it. */
async function idle(guests: Guests, uid: string, signal: AbortSignal): Promise<void> {
  async function* typed() {
    const value = { uid, command: 'sh', args: ['-c', 'echo up; exec cat'], hasStdin: true };
    yield { payload: { case: 'start' as const, value } };
    await once(signal, 'abort');
  }
  const answers = guests.exec(typed(), { signal })[Symbol.asyncIterator]();
  const { done } = await answers.next();
  if (done) throw new Error('the exec ended at once');
}
