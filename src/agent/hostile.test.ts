import fc from 'fast-check';
import { expect, test } from 'vitest';
import { leaveToProofs } from '../../test/support/proofs.ts';
import { Fault } from '../domain/fault.ts';
import type { FileContent } from '../ports/guest-files.ts';
import { AGENT_FRAME, agentFrame } from './agent-frames.ts';
import { tellTime } from './clock.ts';
import { connectOver } from './connect.ts';
import { type AgentStream, askInfo, execOver } from './exec.ts';
import { RECORD, record } from './file-records.ts';
import { filesOver } from './files.ts';
import { relay } from './relay.ts';
import { statisticsOver } from './statistics.ts';

const NEVER = new AbortController().signal;
const PLACE = { path: Buffer.from('/a') };
/** All more are left to proofs. */
const SAMPLE = 10_000;
const PROOF_MS = 120_000;
/** So many frames of a talk are told at least, to all operations together: a talk has 2.5. */
const TELLS = 16;

/** An agent that says what it likes, and hangs up. */
class Liar implements AgentStream {
  readonly #says: readonly Uint8Array[];
  isClosed = false;
  constructor(says: readonly Uint8Array[]) {
    this.#says = says;
  }
  async write(): Promise<void> {}
  async *read(): AsyncGenerator<Uint8Array> {
    for (const piece of this.#says) {
      if (this.isClosed) return;
      yield piece;
    }
  }
  end(): void {}
  close(): void {
    this.isClosed = true;
  }
}

async function* nothing(): AsyncGenerator<never> {}
async function* content(): AsyncGenerator<FileContent> {
  yield { is: 'data', data: Buffer.from('x') };
}
async function drained(all: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of all);
}

const files = (liar: Liar) =>
  filesOver({ version: '1', uname: '', features: ['files'] }, () => liar, {
    // What is at rest is let go of at once.
    after: (_, callback) => {
      queueMicrotask(callback);
      return () => undefined;
    },
  });
const START = {
  ...{ command: 'true', args: [], directory: '', environment: {}, shell: false, user: '' },
  ...{ timeoutSeconds: 0, hasStdin: false },
};

/** All that is asked of an agent. */
const OPERATIONS: Readonly<Record<string, (liar: Liar) => Promise<unknown>>> = {
  exec: (liar) => drained(execOver(liar, START, nothing(), NEVER)),
  info: (liar) => askInfo(liar, NEVER),
  clock: (liar) => tellTime(liar, () => 0, NEVER),
  connect: (liar) => drained(connectOver(liar, { is: 'tcp', host: '', port: 1 }, nothing(), NEVER)),
  ssh: (liar) => drained(relay(liar, nothing(), NEVER)),
  statistics: (liar) => drained(statisticsOver(liar, { intervalMs: 1_000, processes: 5 }, NEVER)),
  stat: (liar) => files(liar).stat(PLACE, NEVER),
  list: (liar) => drained(files(liar).list(PLACE, NEVER)),
  read: (liar) => drained(files(liar).read(PLACE, { offset: 0n, length: 0n }, NEVER)),
  write: (liar) => files(liar).write(PLACE, content(), NEVER),
  remove: (liar) => files(liar).change({ ...PLACE, is: 'remove', recursive: true }, NEVER),
};

const payloads = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc.json({ maxDepth: 2 }).map((text) => new Uint8Array(Buffer.from(text))),
  fc
    .tuple(fc.constantFrom(...Object.values(RECORD), 0, 255), fc.uint8Array({ maxLength: 120 }))
    .map(([type, payload]) => record(type, payload)),
  fc.constantFrom('{"code":0}', '{"code":-1e9}', '{"msg":7}', '{"behind_ms":null}').map((text) => Buffer.from(text)),
);
const OPENED = 48;
/** Those whose frames are read are as often as all others. */
const types = fc.oneof(fc.constantFrom(...Object.values(AGENT_FRAME), OPENED), fc.nat(255));
const frames = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(types, payloads).map(([type, payload]) => agentFrame(type, payload)) },
  // Longer or shorter than it says.
  { weight: 1, arbitrary: fc.tuple(types, fc.nat(70_000)).map(([type, length]) => headOf(type, length)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
);

function headOf(type: number, length: number): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(length, 1);
  return head;
}

test.for([10_000, 100_000])(
  'whatever an agent says, each operation ends with an answer or a Fault, and its connection with it: %i frames',
  { timeout: PROOF_MS },
  async (wanted, context) => {
    leaveToProofs(context, wanted > SAMPLE);
    let said = 0;
    const wrong: unknown[] = [];
    // Few at a time: an operation ends with the first lie.
    const talks = fc.array(frames, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(talks, async (talk) => {
        for (const [name, ask] of Object.entries(OPERATIONS)) {
          const liar = new Liar(talk);
          await ask(liar).catch((error: unknown) => {
            if (!(error instanceof Fault)) wrong.push(name, error);
          });
          if (!liar.isClosed) wrong.push(name, 'is open');
          said += talk.length;
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: Math.ceil(wanted / TELLS) },
    );
    expect(said).toBeGreaterThan(wanted);
  },
);
