import { Fault } from '../../domain/fault.ts';
import type { Channel, ChannelInput } from '../../ports/channel.ts';
import type { Conversation, Converse, Files, Processes } from '../../ports/host.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import { appended } from '../supervisor/growing-file.ts';
import { lengthOf } from '../supervisor/tail.ts';
import { consoleLog, eventsName, isOf } from './layout.ts';
import { TYPIST } from './perl.ts';

export interface ConsoleHands {
  readonly files: Pick<Files, 'read' | 'stat' | 'watch'>;
  readonly processes: Pick<Processes, 'find'>;
  readonly converse: Converse;
}

/** So much is typed at once: what it holds is not taken yet when the channel is closed. */
const PIECE_BYTES = 4_096;
/** Of what it says in the end. */
const MAX_SAID = 2_000;

/**
 * The serial port of a guest, both ways: in by the terminal that is Cloud Hypervisor's standard input, out by the file that
 * has all that the guest writes.
 *
 * @throws Fault `refused` when there is no such process; the signal's reason
 */
export async function openConsole(
  config: Pick<VmmConfig, 'uid' | 'stateDirectory'>,
  hands: ConsoleHands,
  signal: AbortSignal,
): Promise<Channel> {
  const path = consoleLog(config);
  const from = await lengthOf(hands.files, path);
  const input = await openKeyboard(config, hands, signal);
  return { ...input, read: (reading) => appended(hands.files, path, from, input.closed, reading) };
}

/** What {@link TYPIST} does, as long as the channel is open. */
async function openKeyboard(
  config: Pick<VmmConfig, 'uid'>,
  { processes, converse }: ConsoleHands,
  signal: AbortSignal,
): Promise<ChannelInput> {
  signal.throwIfAborted();
  const [found] = await processes.find(isOf(config));
  if (!found) throw new Fault('refused', 'Cannot open the console: the guest does not run');
  const stop = new AbortController();
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
  /** Answers that are waited for, in order; the first is for its being ready. */
  const waiting: PromiseWithResolvers<void>[] = [];
  let said = '';
  let why: string | undefined;
  const close = (reason: string): void => {
    why ??= reason;
    stop.abort();
    const refusal = new Fault('refused', `Cannot write to the console: ${why}`);
    for (const one of waiting.splice(0)) one.reject(refusal);
    onClosed();
  };
  const answered = (): Promise<void> => {
    const one = Promise.withResolvers<void>();
    one.promise.catch(() => undefined); // the last to be typed may have nobody left who waits
    waiting.push(one);
    return one.promise;
  };
  const ready = answered();
  // By its name alone: who has the whole argument is taken for the VMM.
  const typist: Conversation = converse(['perl', '-e', TYPIST, '--', String(found.pid), eventsName(config.uid)], {
    signal: stop.signal,
    onText(text) {
      said = (said + text).slice(-MAX_SAID);
      for (let end = said.indexOf('ok\n'); end === 0; end = said.indexOf('ok\n')) {
        said = said.slice(3);
        waiting.shift()?.resolve();
      }
    },
  });
  void typist.ended.then(({ code }) => close(said.replace(/^flintlock: /, '').trim() || `perl ended with ${code}`));
  const onAbort = (): void => close('it was given up');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await ready;
  } catch {
    signal.throwIfAborted();
    throw new Fault('refused', `Cannot open the console: ${why}; is the guest still running?`);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  return {
    async write(bytes) {
      if (why !== undefined) throw new Fault('refused', `Cannot write to the console: ${why}`);
      const pieces: Promise<void>[] = [];
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        pieces.push(answered());
        typist.say(`${Buffer.from(bytes.subarray(at, at + PIECE_BYTES)).toString('hex')}\n`);
      }
      await Promise.all(pieces);
    },
    closed,
    close: () => close('it was closed'),
  };
}
