import type { Client } from '@connectrpc/connect';
import { GuestFileType } from '../../src/gen/flintlock/microvm/v1/guest_files_pb.ts';
import type { ExecStart, GuestService } from '../../src/gen/flintlock/microvm/v1/guest_pb.ts';
import { type GuestRow, judged } from './row.ts';
import { booted } from './specs.ts';

/** On which a server listens, and as the kernel's lists of sockets have it: busybox' nc takes both families. */
const PORT = 7007;
const HEX = PORT.toString(16).toUpperCase();

type Guests = Client<typeof GuestService>;
type Start = Partial<Pick<ExecStart, 'args' | 'user' | 'directory' | 'environment'>> & {
  readonly timeout?: { readonly seconds: bigint };
  readonly terminal?: { readonly size: { readonly rows: number; readonly columns: number }; readonly term: string };
};

/** What each operation of the guest's agent says, in the words of its row. Asked of a guest that is up for other rows. */
const OPERATIONS: Readonly<
  Record<string, { readonly expected: string; ask(guests: Guests, uid: string): Promise<string> }>
> = {
  info: {
    expected: 'Linux, with tty, signal, files, ports, statistics, clock, watch, ends, extended',
    ask: async (guests, uid) => {
      const { uname, features } = await guests.info({ uid });
      return `${uname.split(' ')[0]}, with ${features.join(', ')}`;
    },
  },
  exec: {
    expected: 'out: one /tmp 1000, err: two, exit 3',
    ask: (guests, uid) =>
      sh(guests, uid, 'echo $WORD $PWD $USER; echo two >&2; exit 3', {
        ...{ user: '1000', directory: '/tmp', environment: { WORD: 'one' } },
      }),
  },
  'exec-stdin': {
    expected: 'out: 300000, exit 0',
    ask: (guests, uid) => sh(guests, uid, 'wc -c', {}, Buffer.alloc(300_000)),
  },
  'exec-not-found': { expected: 'exit 127', ask: async (guests, uid) => exitOf(guests, uid, 'no-such-program') },
  'exec-not-executable': { expected: 'exit 126', ask: async (guests, uid) => exitOf(guests, uid, '/etc/passwd') },
  'exec-signal': { expected: 'exit 137', ask: (guests, uid) => sh(guests, uid, 'kill -9 $$') },
  'exec-time-limit': {
    expected: 'exit 143, timed out',
    ask: (guests, uid) => sh(guests, uid, 'exec sleep 60', { timeout: { seconds: 1n } }),
  },
  'exec-terminal': {
    expected: 'out: 30 100, exit 0',
    ask: (guests, uid) =>
      sh(guests, uid, 'stty size', { terminal: { size: { rows: 30, columns: 100 }, term: 'vt100' } }),
  },
  'exec-left-running': {
    expected: 'out: begun, exit 0',
    ask: (guests, uid) => sh(guests, uid, 'sleep 60 & echo begun'),
  },
  files: {
    expected: '6 bytes of mode 640, read as "words", listed as a file, renamed, removed',
    ask: filesOf,
  },
  ports: {
    expected: 'through, and said back',
    ask: async (guests, uid) => {
      await sh(
        guests,
        uid,
        `(nc -l -p ${PORT} -e cat &) >/dev/null 2>&1 </dev/null; until grep -q :${HEX} /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done`,
      );
      return forwarded(guests, uid, PORT, 'through, and said back');
    },
  },
  'ports-closed': {
    expected: 'refused',
    ask: (guests, uid) => forwarded(guests, uid, PORT + 1, 'x').then(undefined, () => 'refused'),
  },
  statistics: {
    expected: 'CPUs, memory, disks, and processes',
    ask: async (guests, uid) => {
      const wanted = { uid, interval: { seconds: 1n }, processes: 64 };
      for await (const { memoryBytes, cpus, disks, processes } of guests.statistics(wanted))
        return memoryBytes > 0n && cpus > 0 && disks.length > 0 && processes.length > 0
          ? 'CPUs, memory, disks, and processes'
          : `${memoryBytes} bytes, ${cpus} CPUs, ${disks.length} disks, ${processes.length} processes`;
      return 'nothing';
    },
  },
};

export async function askAgent(guests: Guests, uid: string): Promise<Readonly<Record<string, string>>> {
  const notes: Record<string, string> = {};
  for (const [name, { ask }] of Object.entries(OPERATIONS))
    notes[name] = await ask(guests, uid).catch((error: unknown) => String(error));
  return notes;
}

export const agentRows: readonly GuestRow[] = Object.entries(OPERATIONS).map(([name, { expected }]) => ({
  row: `agent/${name}`,
  expected,
  guest: booted,
  host: ({ notes }) => judged(notes[name] === expected, notes[name] ?? 'not asked'),
}));

const exitOf = (guests: Guests, uid: string, command: string): Promise<string> =>
  ran(guests, { uid, command }).then((said) => said.replace(/^.*(?=exit)/s, ''));

const sh = (guests: Guests, uid: string, script: string, more: Start = {}, stdin?: Uint8Array): Promise<string> =>
  ran(guests, { uid, command: 'sh', args: ['-c', script], ...more }, stdin);

/** `out: …, err: …, exit N` */
async function ran(guests: Guests, start: Start & { uid: string; command: string }, stdin?: Uint8Array) {
  async function* messages() {
    yield { payload: { case: 'start' as const, value: { ...start, hasStdin: stdin !== undefined } } };
    if (stdin) yield { payload: { case: 'stdin' as const, value: stdin } };
  }
  const said = { stdout: '', stderr: '' };
  for await (const { payload } of guests.exec(messages())) {
    if (payload.case === 'exit') {
      const { code, timedOut } = payload.value;
      const texts = [said.stdout && `out: ${said.stdout.trim()}`, said.stderr && `err: ${said.stderr.trim()}`];
      return [...texts, `exit ${code}`, timedOut && 'timed out'].filter((text) => text).join(', ');
    }
    if (payload.case) said[payload.case] += Buffer.from(payload.value).toString();
  }
  return 'no exit';
}

async function filesOf(guests: Guests, uid: string): Promise<string> {
  const place = (path: string) => ({ uid, path: Buffer.from(path) });
  async function* content() {
    const value = { place: place('/tmp/agent/a'), attributes: { mode: 0o640 } };
    yield { payload: { case: 'start' as const, value } };
    yield { payload: { case: 'data' as const, value: Buffer.from('words\n') } };
    yield { payload: { case: 'end' as const, value: true } };
  }
  await guests.makeDirectory({ place: place('/tmp/agent') });
  await guests.writeFile(content());
  const { file } = await guests.statFile({ place: place('/tmp/agent/a') });
  let read = '';
  for await (const { payload } of guests.readFile({ place: place('/tmp/agent/a') }))
    if (payload.case === 'data') read += Buffer.from(payload.value).toString();
  let listed = '';
  for await (const { files } of guests.listFiles({ place: place('/tmp/agent') }))
    listed += files
      .map(({ name, type }) => `${Buffer.from(name)} ${type === GuestFileType.REGULAR ? 'a file' : type}`)
      .join();
  await guests.renameFile({ place: place('/tmp/agent/a'), newPath: Buffer.from('/tmp/agent/b') });
  const renamed = await guests.statFile({ place: place('/tmp/agent/b') });
  await guests.removeFile({ place: place('/tmp/agent'), recursive: true });
  const left = await guests.statFile({ place: place('/tmp/agent') }).then(
    () => 'left',
    () => 'removed',
  );
  return [
    `${file?.size} bytes of mode ${((file?.mode ?? 0) & 0o777).toString(8)}`,
    `read as ${JSON.stringify(read.trim())}`,
    listed === 'a a file' ? 'listed as a file' : `listed as ${listed}`,
    renamed.file?.size === file?.size ? 'renamed' : 'not renamed',
    left,
  ].join(', ');
}

/** What a server that sends back what it gets says to some words. */
async function forwarded(guests: Guests, uid: string, port: number, words: string): Promise<string> {
  async function* messages() {
    yield { payload: { case: 'start' as const, value: { uid, port } } };
    yield { payload: { case: 'data' as const, value: Buffer.from(words) } };
  }
  let said = '';
  for await (const { payload } of guests.forward(messages()))
    if (payload.case === 'data') said += Buffer.from(payload.value).toString();
  return said;
}
