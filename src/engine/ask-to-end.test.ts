import { describe, expect, test } from 'vitest';
import { Fault } from '../domain/fault.ts';
import type { Uid } from '../domain/microvm.ts';
import type { GuestAgent } from '../ports/guest-agent.ts';
import type { RunningVmm } from '../ports/vmm.ts';
import { AskedToEnd, type Asking } from './ask-to-end.ts';

const uid = 'x' as Uid;
const never = new AbortController().signal;

/** What was done, in its order. */
function makeBed({ hasButton = true, endsAtReset = false, code = 0, guest = 'running' } = {}) {
  const done: string[] = [];
  const running = {
    guest,
    pressPower: async () => {
      if (hasButton) done.push('button');
      return hasButton;
    },
    resume: async () => void done.push('resume'),
  } as unknown as RunningVmm;
  const agent: Pick<GuestAgent, 'exec'> = {
    async *exec({ command }) {
      done.push(command);
      if (code < 0) throw new Fault('tool', 'The guest agent is gone');
      yield { is: 'exit', code, timedOut: false };
    },
  };
  return { done, asking: { uid, running, agent, endsAtReset } satisfies Asking, asked: new AskedToEnd() };
}

describe('a guest that is to end', () => {
  test('has its button pressed, and when that was in vain its agent is asked, too', async () => {
    const { done, asking, asked } = makeBed();
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done).toEqual(['button']);
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done).toEqual(['button', 'poweroff', 'button']);
    asked.forget(uid);
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done.at(-1)).toBe('button');
  });

  test('of a VMM that ends at a reset is told to reboot by its agent, and the keys come later', async () => {
    const { done, asking, asked } = makeBed({ endsAtReset: true });
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done).toEqual(['reboot']);
    expect(asked.isShutDown({ ...asking, agent: undefined })).toBe(false);
    await asked.ask({ ...asking, agent: undefined }, never);
    expect(done).toEqual(['reboot', 'button']);
  });

  test('is told by its keys at once where its agent cannot', async () => {
    const { done, asking, asked } = makeBed({ endsAtReset: true, code: 127 });
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done).toEqual(['reboot', 'button']);
  });

  test('takes its agent along', async () => {
    const { done, asking, asked } = makeBed({ endsAtReset: true, code: -1 });
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done).toEqual(['reboot']);
  });

  test('and has no button is told by its agent alone; that this is gone says that it is shut down', async () => {
    const { done, asking, asked } = makeBed({ hasButton: false, guest: 'paused' });
    expect(asked.isShutDown(asking)).toBe(false);
    expect(await asked.ask(asking, never)).toBe(true);
    expect(done).toEqual(['resume', 'poweroff']);
    expect(asked.isShutDown(asking)).toBe(false);
    expect(asked.isShutDown({ ...asking, agent: undefined })).toBe(true);
  });

  test('and has neither is told by nobody', async () => {
    const { asking, asked } = makeBed({ hasButton: false });
    expect(await asked.ask({ ...asking, agent: undefined }, never)).toBe(false);
    const { asking: other } = makeBed({ hasButton: false, code: 127 });
    expect(await asked.ask(other, never)).toBe(false);
  });
});
