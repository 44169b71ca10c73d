import { connect } from 'node:net';
import { errorMessage } from '../../base/error-text.ts';
import { Fault } from '../../domain/fault.ts';

/** What QEMU tells unasked. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One connection to a QEMU that has greeted us. */
export interface Qmp {
  /**
   * @returns what QEMU returns
   * @throws Fault `refused` with QEMU's own words; Fault `tool` when the connection ends first
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Resolves when the connection has ended, by whosoever. */
  readonly closed: Promise<void>;
  close(): void;
}

/** A line longer than this is no QEMU's: a guest that has broken out must not fill our memory. */
const MAX_LINE_CHARS = 1 << 20;

type Message = Readonly<Record<string, unknown>>;
interface Asked {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Fault) => void;
}

/**
 * Connects to QEMU's control socket, waits for its greeting and makes it ready
 * for commands. QEMU serves one client at a time: a second gets no greeting.
 *
 * @param onEvent - also called for events before this resolves
 * @throws Fault `tool` when there is no such socket or it is no QEMU's; the signal's reason
 * @see https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
export function connectQmp(
  path: string,
  { signal, onEvent }: { readonly signal: AbortSignal; readonly onEvent: (event: QmpEvent) => void },
): Promise<Qmp> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = connect({ path });
    const asked = new Map<number, Asked>();
    const decoder = new TextDecoder();
    let lastId = 0;
    let rest = '';
    let why = `QEMU's control socket ${path} was closed`;

    const qmp: Qmp = {
      execute: (command, args) =>
        new Promise((answer, fail) => {
          if (socket.destroyed) return fail(new Fault('tool', `Cannot ask QEMU for ${command}: ${why}`));
          const id = ++lastId;
          asked.set(id, { command, resolve: answer, reject: fail });
          socket.write(`${JSON.stringify({ execute: command, ...(args && { arguments: args }), id })}\n`);
        }),
      closed: new Promise((ended) => socket.once('close', () => ended())),
      close: () => socket.destroy(),
    };

    const onAbort = (): void => {
      reject(signal.reason);
      socket.destroy();
    };
    const settled = (): void => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort, { once: true });

    const broken = (what: string): void => {
      why = `${path} is not a QEMU control socket: ${what}`;
      socket.destroy();
    };
    const take = (line: string): void => {
      const message = parse(line);
      if (!message) broken(`it said ${JSON.stringify(line.slice(0, 80))}`);
      else if ('QMP' in message) {
        qmp.execute('qmp_capabilities').catch((error: unknown) => {
          why = errorMessage(error);
          socket.destroy();
        });
        // What is asked from here on is read behind it: there is no need to wait.
        settled();
        resolve(qmp);
      } else if (typeof message.event === 'string') {
        onEvent({ event: message.event, data: isObject(message.data) ? message.data : {} });
      } else if (typeof message.id === 'number') {
        const question = asked.get(message.id);
        asked.delete(message.id);
        if (!question) return;
        if ('error' in message) question.reject(new Fault('refused', refusal(question.command, message.error)));
        else question.resolve(message.return);
      }
    };

    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() && !socket.destroyed) take(line);
      if (rest.length > MAX_LINE_CHARS) broken('a line of it never ends');
    });
    socket.on('error', (error) => {
      why = `cannot reach QEMU's control socket ${path}: ${error.message}`;
    });
    socket.on('close', () => {
      settled();
      for (const question of asked.values())
        question.reject(new Fault('tool', `QEMU did not answer ${question.command}: ${why}`));
      asked.clear();
      reject(new Fault('tool', why)); // does nothing once it has resolved
    });
  });
}

const isObject = (value: unknown): value is Message =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parse(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function refusal(command: string, error: unknown): string {
  const words = isObject(error) && typeof error.desc === 'string' ? error.desc.slice(0, 500) : 'it does not say why';
  return `QEMU refused ${command}: ${words}`;
}
