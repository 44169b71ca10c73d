/** With a guest's ports as sockets of a directory: what is different of vsock(7) is tried on a host that has it, by `npm run e2e:kvm`. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { converse } from '../../host/converse.ts';
import { files } from '../../host/files.ts';
import type { Channel } from '../../ports/channel.ts';
import { relayProgram } from './vsock-relay-program.ts';
import { VsockRelays } from './vsock-relays.ts';

const soon = (): AbortSignal => AbortSignal.timeout(60_000);

/** A port is the socket of its number; one that is not there is a port where nobody listens. */
const TO_DIRECTORY = String.raw`
sub target {
  socket my $to, AF_UNIX, SOCK_STREAM, 0 or fail "cannot make a socket: $!";
  (my $directory = $at) =~ s{/[^/]*\z}{};
  return $to, pack 'S a* x', AF_UNIX, "$directory/$more[0]-$_[0]";
}
`;

interface Bed {
  readonly relays: VsockRelays;
  readonly directory: string;
  dial(port?: number): Promise<Channel>;
  /** A server in the guest. */
  listen(port: number, take: (socket: Socket) => void): Promise<void>;
}

function makeBed(program = relayProgram(TO_DIRECTORY)): Bed {
  const directory = mkdtempSync(join(tmpdir(), 'fl-relay-'));
  const guest = { runDirectory: directory, user: 77_001 };
  const relays = new VsockRelays({ converse, files, program });
  onTestFinished(() => {
    relays.end(guest);
    rmSync(directory, { recursive: true });
  });
  return {
    ...{ relays, directory },
    dial: (port = 1024) => relays.dial(guest, port, soon()),
    async listen(port, take) {
      const sockets = new Set<Socket>();
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        take(socket);
      });
      await new Promise<void>((done) => server.listen(join(directory, `77001-${port}`), done));
      onTestFinished(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
    },
  };
}

async function textOf(channel: Channel): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const bytes of channel.read(soon())) pieces.push(bytes);
  return Buffer.concat(pieces).toString();
}

test('leads to a port of the guest, which hears all and then the end of it, and whose answer comes whole', async () => {
  const { directory, dial, listen } = makeBed();
  await listen(7, (socket) => socket.end());
  await textOf(await dial(7)); // it is there from now on
  await listen(1024, (socket) => {
    let count = 0;
    socket.on('data', (bytes) => {
      count += bytes.length;
    });
    socket.on('end', () => socket.end(`${count}:${'x'.repeat(1_000_000)}`));
  });
  const socket = connect({ path: join(directory, 'vsock.sock'), allowHalfOpen: true });
  socket.write('CONNECT 1024\n');
  socket.end(Buffer.alloc(3_000_000, 'y'));
  const said = Buffer.concat(await socket.toArray()).toString();
  expect([said.slice(0, 16), said.length]).toEqual(['OK 1024\n3000000:', 1_000_016]);
});

test('lets fifty through at once, and one that is not read stops nobody else', async () => {
  const { dial, listen } = makeBed();
  await listen(1024, (socket) => {
    socket.once('data', (bytes) => socket.end(bytes));
  });
  let flooded: Socket | undefined;
  await listen(1025, (socket) => {
    flooded = socket;
    const more = (): void => {
      while (socket.write(Buffer.alloc(65_536)));
    };
    socket.on('drain', more);
    more();
  });
  await dial(1025); // and reads nothing
  const echoes = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const channel = await dial();
      await channel.write(Buffer.from(`hello ${i}`));
      return textOf(channel);
    }),
  );
  expect(echoes).toEqual(Array.from({ length: 50 }, (_, i) => `hello ${i}`));
  expect(flooded?.writableNeedDrain).toBe(true);
});

test('who goes is gone for the guest too, and the other way round', async () => {
  const { dial, listen } = makeBed();
  const taken: Socket[] = [];
  await listen(1024, (socket) => void taken.push(socket.resume()));
  const channel = await dial();
  await expect.poll(() => taken).toHaveLength(1);
  channel.close();
  // Not an end alone, after which it could still be answered.
  await expect.poll(() => taken[0]?.write('x') === false || taken[0]?.destroyed || taken[0]?.errored).toBeTruthy();

  const other = await dial();
  await expect.poll(() => taken).toHaveLength(2);
  taken[1]?.destroy();
  expect(await textOf(other)).toBe('');
  await other.closed;
});

test('where nobody listens nothing answers, and the next is let through', async () => {
  const { dial, listen } = makeBed();
  await expect(dial(7)).rejects.toMatchObject({ kind: 'tool', message: expect.stringContaining('port 7') });
  await listen(1024, (socket) => socket.end('there'));
  expect(await textOf(await dial())).toBe('there');
});

test('one that was ended is started again by the next, and what cannot be started says why', async () => {
  const { relays, directory, dial, listen } = makeBed();
  await listen(1024, (socket) => socket.end('there'));
  const first = await dial();
  relays.end({ runDirectory: directory });
  await textOf(first).catch(() => undefined);
  await first.closed;
  expect(existsSync(join(directory, 'vsock.sock'))).toBe(true);
  expect(await textOf(await dial())).toBe('there');

  const broken = makeBed('print STDERR "flintlock: no such thing\n"; exit 125');
  await expect(broken.dial()).rejects.toMatchObject({
    kind: 'tool',
    message: "Cannot let through to the guest's vsock: no such thing",
  });
});

test('the program for a guest asks for its number and its port', async () => {
  const asked = relayProgram().replace(
    'listen $door, WAITING',
    String.raw`my ($to, $address) = target(1025); print unpack('H*', $address), "\n"; exit 0; listen $door, WAITING`,
  );
  // On a host without vsock it says so.
  await expect(makeBed(asked).dial()).rejects.toMatchObject({
    message: expect.stringMatching(/: 2800000001040000c92c010000000000$|Address family not supported/),
  });
});
