import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FakeClock } from '../../test/support/fake-clock.ts';
import { Fault } from '../domain/fault.ts';
import type { FileContent, FileReading, GuestFiles } from '../ports/guest-files.ts';
import { AGENT_FRAME, agentFrame } from './agent-frames.ts';
import type { AgentConnection } from './exec.ts';
import { parseEntry, RECORD, RecordDecoder, record, requestRecord } from './file-records.ts';
import { filesOver } from './files.ts';

const NEVER = new AbortController().signal;
const INFO = { version: '1', uname: '', features: ['files'] };
const PLACE = { path: Buffer.from('/x') };
const ALL = { offset: 0n, length: 0n };

interface Said {
  readonly files: GuestFiles;
  readonly written: Uint8Array[];
  isClosed(): boolean;
}

/** An agent that says these records, whatever it is asked. */
function agentSays(...records: Uint8Array[]): Said {
  return agentSends(...records.map((one) => agentFrame(AGENT_FRAME.stdout, one)));
}

function agentSends(...frames: Uint8Array[]): Said {
  const written: Uint8Array[] = [];
  let closed = false;
  const connection: AgentConnection = {
    write: async (bytes, more) => void written.push(more ? Buffer.concat([bytes, more]) : bytes),
    async *read() {
      yield* frames;
    },
    close: () => {
      closed = true;
    },
  };
  return { files: filesOver(INFO, () => connection, new FakeClock()), written, isClosed: () => closed };
}

function entry({ size = 0n, name = 'x', mode = 0o100644, modified = 5n } = {}): Uint8Array {
  const fixed = Buffer.alloc(88);
  fixed.writeUInt32BE(mode, 0);
  fixed.writeBigUInt64BE(size, 12);
  fixed.writeBigInt64BE(modified, 20);
  fixed.writeUInt16BE(Buffer.byteLength(name), 84);
  return record(RECORD.entry, Buffer.concat([fixed, Buffer.from(name)]));
}

const hole = (bytes: bigint): Uint8Array => {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64BE(bytes);
  return record(RECORD.hole, payload);
};
const data = (text: string): Uint8Array => record(RECORD.data, Buffer.from(text));
const done = record(RECORD.done);
const failed = (errno: number, words: string): Uint8Array => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(errno);
  return record(RECORD.failed, Buffer.concat([payload, Buffer.from(words)]));
};

async function readAll(files: GuestFiles): Promise<FileReading[]> {
  const all: FileReading[] = [];
  for await (const one of files.read(PLACE, ALL, NEVER)) all.push(one);
  return all;
}

test('what the guest’s kernel said has a kind, and its words are one line', async () => {
  for (const [errno, kind] of [
    [2, 'not_found'],
    [17, 'exists'],
    [28, 'full'],
    [13, 'refused'],
    [5, 'tool'],
  ] as const)
    await expect(agentSays(failed(errno, 'such\u001b[2J\nwords')).files.stat(PLACE, NEVER)).rejects.toMatchObject({
      ...{ kind, message: 'Cannot look at the file in the guest: such?[2J?words' },
    });
});

test('an agent that knows no files is told of, and nobody connects to it', async () => {
  const files = filesOver({ ...INFO, features: ['tty'] }, () => expect.unreachable(), new FakeClock());
  await expect(files.stat(PLACE, NEVER)).rejects.toMatchObject({ kind: 'refused' });
});

test('a guest cannot send more of a file than it said that there is', async () => {
  expect(await readAll(agentSays(entry({ size: 3n }), data('abc'), entry({ size: 3n }), done).files)).toHaveLength(3);
  for (const more of [data('abcd'), hole(4n), hole(2n ** 63n)])
    await expect(readAll(agentSays(entry({ size: 3n }), more, done).files)).rejects.toMatchObject({ kind: 'tool' });
  // Without a size there are bytes, and no holes.
  expect(await readAll(agentSays(entry(), data('abc'), entry(), done).files)).toHaveLength(3);
  for (const wrong of [[entry(), hole(1n)], [data('abc'), entry()], [entry({ size: 3n })], []])
    await expect(readAll(agentSays(...wrong, done).files)).rejects.toMatchObject({ kind: 'tool' });
});

test('that a file was changed is known by its time', async () => {
  const { files } = agentSays(entry({ size: 3n }), data('abc'), entry({ size: 3n, modified: 6n }), done);
  expect((await readAll(files)).at(-1)).toEqual({ is: 'end', changed: true });
});

test('what is cut off is a Fault, and the connection is closed', async () => {
  for (const said of [
    agentSays(entry({ size: 3n }), data('ab')),
    agentSends(agentFrame(AGENT_FRAME.stdout, entry()), agentFrame(AGENT_FRAME.exit, Buffer.from('{"code":0}'))),
    agentSends(agentFrame(AGENT_FRAME.error, Buffer.from('{"msg":"no"}'))),
    agentSays(Buffer.from([RECORD.data, 0xff, 0xff, 0xff, 0xff])),
  ]) {
    await expect(readAll(said.files)).rejects.toBeInstanceOf(Fault);
    expect(said.isClosed()).toBe(true);
  }
});

/** File servers that answer each request with the next of these, and what became of each. */
function serversSay(...answers: readonly (readonly Uint8Array[])[]) {
  const clock = new FakeClock();
  const servers: { requests: number; isClosed: boolean; hangUp(): void }[] = [];
  const rest = [...answers];
  const open = (): AgentConnection => {
    const ready: Uint8Array[] = [];
    let wake = (): void => undefined;
    let isOver = false;
    const end = (): void => {
      isOver = true;
      wake();
    };
    const server = { requests: 0, isClosed: false, hangUp: end };
    servers.push(server);
    return {
      write: async () => {
        server.requests++;
        const next = rest.shift() ?? [];
        ready.push(Buffer.concat(next.map((one) => agentFrame(AGENT_FRAME.stdout, one))));
        wake();
      },
      async *read() {
        while (!isOver || ready.length > 0) {
          const next = ready.shift();
          if (next) yield next;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      },
      close: () => {
        server.isClosed = true;
        end();
      },
    };
  };
  const files = filesOver(INFO, open, clock);
  const told = () => servers.map(({ requests, isClosed }) => `${requests}${isClosed ? ' closed' : ''}`);
  return { files, clock, servers, told };
}

const STAT = [entry(), done];

test('a server that has done what it was asked for serves the next, and ends when nobody has asked for a second', async () => {
  const { files, clock, told } = serversSay(STAT, [failed(2, 'no such file')], STAT, STAT);
  await files.stat(PLACE, NEVER);
  await expect(files.stat(PLACE, NEVER)).rejects.toMatchObject({ kind: 'not_found' });
  await files.stat(PLACE, NEVER);
  expect(told()).toEqual(['3']);
  clock.advance(999);
  expect(told()).toEqual(['3']);
  clock.advance(1);
  expect(told()).toEqual(['3 closed']);
  await files.stat(PLACE, NEVER);
  expect(told()).toEqual(['3 closed', '1']);
});

test('each operation that is under way has a server of its own, and few of them stay', async () => {
  const { files, told } = serversSay(...Array.from({ length: 12 }, () => STAT));
  await Promise.all(Array.from({ length: 12 }, () => files.stat(PLACE, NEVER)));
  expect(told().filter((one) => one === '1')).toHaveLength(8);
  expect(told().filter((one) => one === '1 closed')).toHaveLength(4);
});

test('a server that ended while it had nothing to do, or says what nobody asked for, is asked for nothing', async () => {
  const { files, servers, told } = serversSay(STAT, STAT, [...STAT, entry()], STAT);
  await files.stat(PLACE, NEVER);
  servers[0]?.hangUp();
  await new Promise(setImmediate);
  await files.stat(PLACE, NEVER);
  expect(told()).toEqual(['1 closed', '1']);
  await files.stat(PLACE, NEVER);
  await files.stat(PLACE, NEVER);
  expect(told()).toEqual(['1 closed', '2 closed', '1']);
});

test('who goes away in the middle of an answer, or of what it writes, closes the server', async () => {
  const { files, told } = serversSay([entry({ size: 3n }), data('ab')], [], [failed(28, 'no room')], STAT);
  for await (const _ of files.read(PLACE, ALL, NEVER)) break;
  expect(told()).toEqual(['1 closed']);
  async function* endless(): AsyncGenerator<FileContent> {
    yield { is: 'data', data: Buffer.from('x') };
    await new Promise(() => undefined);
  }
  await expect(files.write(PLACE, endless(), NEVER)).rejects.toMatchObject({ kind: 'full' });
  expect(told()[1]).toBe('2 closed');
});

test('names that no directory has, and times of no year, are not passed on', () => {
  const payload = (name: string) => Buffer.from(entry({ name })).subarray(5);
  expect(() => parseEntry(payload('a/b'))).toThrow('in a form that no agent uses');
  expect(() => parseEntry(payload('a\0b'))).toThrow('in a form that no agent uses');
  expect(parseEntry(Buffer.from(entry({ modified: 2n ** 62n })).subarray(5)).file.modified).toEqual({
    seconds: 0n,
    nanos: 0,
  });
});

test('requests have room for long names, and not for endless ones', () => {
  expect(requestRecord({ op: 1, path: Buffer.alloc(60_000) }).length).toBe(5 + 58 + 60_000);
  expect(() => requestRecord({ op: 1, path: Buffer.alloc(4_000), below: Buffer.alloc(65_000) })).toThrow('is longer');
});

test('records come out as they went in, wherever they are cut', () => {
  const some = fc.array(fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 300 })), { maxLength: 12 });
  fc.assert(
    fc.property(some, fc.integer({ min: 1, max: 64 }), (all, step) => {
      const bytes = Buffer.concat(all.map(([isData, payload]) => record(isData ? RECORD.data : RECORD.entry, payload)));
      const decoder = new RecordDecoder();
      const content: Buffer[] = [];
      const entries: Buffer[] = [];
      for (let from = 0; from < bytes.length; from += step)
        for (const { type, payload } of decoder.push(bytes.subarray(from, from + step)))
          (type === RECORD.data ? content : entries).push(Buffer.from(payload));
      const payloads = (which: boolean) =>
        all.filter(([isData]) => isData === which).map(([, one]) => Buffer.from(one));
      expect(Buffer.concat(content)).toEqual(Buffer.concat(payloads(true)));
      expect(entries).toEqual(payloads(false));
    }),
  );
});

test('100,000 malformed records end in a Fault or in nothing', async () => {
  const kinds = fc.constantFrom(...Object.values(RECORD), 0, 255);
  const some = fc.array(fc.tuple(kinds, fc.uint8Array({ maxLength: 120 })), { minLength: 90, maxLength: 110 });
  await fc.assert(
    fc.asyncProperty(some, async (all) => {
      const { files } = agentSays(...all.map(([type, payload]) => record(type, payload)));
      for (const ask of [
        () => files.stat(PLACE, NEVER),
        () => readAll(files),
        async () => {
          for await (const _ of files.list(PLACE, NEVER));
        },
        () => files.change({ is: 'remove', ...PLACE, recursive: true }, NEVER),
      ])
        await ask().catch((error: unknown) => expect(error).toBeInstanceOf(Fault));
    }),
    { numRuns: 250 },
  );
});
