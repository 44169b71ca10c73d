import { randomBytes } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { createMeetAgent } from '../../src/agent/agent.ts';
import { clock } from '../../src/host/clock.ts';
import type { GuestFiles } from '../../src/ports/guest-files.ts';
import { type AgentProcess, startAgent } from './agent-process.ts';

/** The files that the real agent, as a process of this machine, serves; it ends with the test. */
export const agentFiles = async (): Promise<GuestFiles> => filesBy(await startAgent());

export async function filesBy(process: AgentProcess): Promise<GuestFiles> {
  const meeting = await createMeetAgent({ clock, randomBytes })(
    { is: 'channel', channel: await process.channel() },
    () => true,
    new AbortController().signal,
  );
  onTestFinished(async () => {
    meeting.close();
    await process[Symbol.asyncDispose]();
  });
  return meeting.agent.files;
}
