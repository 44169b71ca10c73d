import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { WaitMicroVMRequest_Until as Until } from '../gen/flintlock/microvm/v1/microvms_pb.ts';
import type { MicroVM } from '../gen/types/microvm_pb.ts';
import { quick } from './client.ts';
import type { Context } from './context.ts';
import { isLost } from './errors.ts';
import { EXIT, Problem } from './exit.ts';
import { liveOn } from './print/live.ts';
import { isFailed, nameOf, situationText, stateOf, uidOf } from './print/microvm.ts';
import { printable } from './print/style.ts';
import { secondsText } from './print/units.ts';

/** What can be waited for, as the user writes it. */
export const UNTIL = {
  created: Until.CREATED,
  stopped: Until.STOPPED,
  gone: Until.GONE,
  address: Until.ADDRESS,
  configured: Until.CONFIGURED,
  alive: Until.ALIVE,
  agent: Until.AGENT,
} as const;
export type UntilName = keyof typeof UNTIL;

/** Shown after this long, and then each second: what is done at once needs no news. */
const FIRST_LOOK_MS = 300;
const LOOK_MS = 1_000;
/** The daemon limits a call to an hour: a longer wait is several. */
const ROUND_MS = 600_000;
/** Between attempts to reach a daemon that was lost. */
const AGAIN_MS = 500;
/** How much longer than it was asked the daemon may take to answer. */
const GRACE_MS = 5_000;
/** Lines of a dead guest's console that are shown. */
const TAIL_LINES = 15;

/**
 * Waits on the daemon until a microVM is what the user wants, and shows meanwhile what goes on. A daemon that is
 * restarted meanwhile is found again.
 *
 * @returns the record that ended the wait; undefined when it is gone
 * @throws Problem with what to do next: timed out, FAILED, not possible any more, or interrupted
 */
export async function waitFor(
  context: Context,
  vm: MicroVM,
  until: UntilName,
  timeoutMs: number,
): Promise<MicroVM | undefined> {
  const { io } = context;
  const { vms } = await context.clients();
  const uid = uidOf(vm);
  const name = printable(nameOf(vm));
  const deadline = io.now() + timeoutMs;
  const stop = new AbortController();
  const latest = { vm };
  const shown = showUntil(context, latest, until, AbortSignal.any([stop.signal, io.interrupt]));
  try {
    for (;;) {
      const round = Math.min(ROUND_MS, Math.max(0, deadline - io.now()));
      try {
        const { microvm } = await vms.waitMicroVM(
          { uid, until: UNTIL[until], timeout: durationFromMs(round) },
          { signal: io.interrupt, timeoutMs: round + GRACE_MS },
        );
        if (until !== 'gone' && microvm && isFailed(microvm)) throw failed(microvm, name);
        return microvm;
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error;
        if (io.interrupt.aborted) throw interrupted(name, until);
        if (error.code === Code.NotFound && until === 'gone') return undefined;
        if (error.code === Code.DeadlineExceeded) {
          if (io.now() < deadline) continue;
          throw await timedOut(context, latest.vm, until, timeoutMs);
        }
        if (isLost(error) && io.now() < deadline) {
          await io.sleep(AGAIN_MS, io.interrupt).catch(() => undefined); // the next round ends by it
          continue;
        }
        if (error.code !== Code.FailedPrecondition) throw error;
        const now = await look(context, uid, io.interrupt);
        if (until !== 'gone' && now && isFailed(now)) throw failed(now, name);
        throw new Problem(EXIT.failed, `${name} will not be ${wanted(until)}: ${printable(error.rawMessage)}`, {
          hints: [`See: flintlock get ${name}`],
        });
      }
    }
  } finally {
    stop.abort();
    await shown;
  }
}

/** Shows what goes on until the signal aborts. It decides nothing: an error here is the waiting call's to report. */
async function showUntil(
  context: Context,
  latest: { vm: MicroVM },
  until: UntilName,
  signal: AbortSignal,
): Promise<void> {
  const { io } = context;
  const live = liveOn(context);
  try {
    for (let pause = FIRST_LOOK_MS; ; pause = LOOK_MS) {
      await io.sleep(pause, signal);
      const vm = await look(context, uidOf(latest.vm), signal);
      if (!vm) {
        await live.show('lost', `The daemon does not answer; ${nameOf(latest.vm)} goes on without it. Trying again`);
        continue;
      }
      latest.vm = vm;
      const { reason = '', message = '', progress } = vm.status ?? {};
      // Where the state alone does not say what is missing.
      const about = until === 'created' || until === 'gone' ? '' : `Waiting until ${nameOf(vm)} is ${wanted(until)}; `;
      await live.show(
        [stateOf(vm.status), reason, message, progress?.step].join(),
        `${about}${about ? 'it' : nameOf(vm)} is ${situationText(vm, io.now())}`,
      );
    }
  } catch {
    // the wait is over, or the daemon does not answer
  } finally {
    await live.end();
  }
}

/** The record now, deleted ones too; undefined where it cannot be had. */
async function look(context: Context, uid: string, signal: AbortSignal): Promise<MicroVM | undefined> {
  try {
    const { vms } = await context.clients();
    return (await vms.getMicroVM({ uid, showDeleted: true }, quick(signal))).microvm;
  } catch (error) {
    if (error instanceof ConnectError && !signal.aborted) return undefined;
    throw error;
  }
}

/** For "is …", "to be …" and "will not be …". */
export const wanted = (until: UntilName): string =>
  ({
    created: 'CREATED',
    stopped: 'STOPPED',
    gone: 'gone',
    address: 'given an address',
    configured: 'configured',
    alive: 'seen alive',
    agent: 'ready for commands',
  })[until];

async function timedOut(context: Context, last: MicroVM, until: UntilName, timeoutMs: number): Promise<Problem> {
  const vm = (await look(context, uidOf(last), context.io.interrupt).catch(() => undefined)) ?? last;
  const name = printable(nameOf(vm));
  const now = printable(situationText(vm, context.io.now()));
  return new Problem(EXIT.timedOut, `${name} is not ${wanted(until)} after ${secondsText(timeoutMs)}: it is ${now}`, {
    hints: [`It goes on. Wait longer: flintlock wait ${name} --for ${until} --timeout 5m; see: flintlock get ${name}`],
  });
}

function interrupted(name: string, until: UntilName): Problem {
  const hints =
    until === 'gone'
      ? [`See: flintlock get ${name}`]
      : [`Wait again: flintlock wait ${name} --for ${until}; delete it: flintlock delete ${name}`];
  const state = until === 'gone' ? 'it is still being deleted' : 'it is not deleted and goes on';
  return new Problem(EXIT.failed, `Stopped waiting for ${name}; ${state}`, { hints });
}

function failed(vm: MicroVM, name: string): Problem {
  const { reason = '', message = '', consoleTail = '' } = vm.status ?? {};
  const tail = printable(consoleTail.replaceAll('\r', ''), true)
    .trimEnd()
    .split('\n')
    .slice(-TAIL_LINES)
    .map((line) => `| ${line}`);
  return new Problem(EXIT.vmFailed, `${name} is FAILED (${printable(reason)}): ${printable(message)}`, {
    details: consoleTail.trim() === '' ? [] : ['The end of its console:', ...tail],
    hints: [`See: flintlock get ${name}, flintlock console ${name}; delete it: flintlock delete ${name}`],
  });
}
