/**
 * The least that a word to a guest and back can take: a guest by hand, on a command line of the daemon's, and frames that its agent
 * sends back as they are, in the virtio-serial port itself. It is told what to do, see `Asked`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FRAME, greeting, MAX_PAYLOAD, PortDecoder, portFrame } from '../../src/agent/port-frames.ts';
import { ownOf, templateOf } from './argv.ts';
import { OverlayBytes } from './overlay.ts';

export type Asked =
  /** By a VMM of the daemon's: until the agent of a guest like its answers. */
  | { readonly do: 'begin'; readonly argv: readonly string[]; readonly directory: string }
  /** One empty frame there and back. @returns milliseconds */
  | { readonly do: 'ping' }
  /** So many bytes there and back at once. @returns milliseconds */
  | { readonly do: 'echo'; readonly bytes: number };

const UP_MS = 300_000;
/** More than the agent holds of what it sends it does not read on for. */
const UNDER_WAY = 4;

let child: ChildProcess | undefined;
let port: Port | undefined;

process.on('message', (asked: Asked) => {
  answer(asked).then(
    (value) => process.send?.({ value }),
    (error: unknown) =>
      process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
process.on('disconnect', () => {
  child?.kill('SIGKILL');
  process.exit();
});

async function answer(asked: Asked): Promise<unknown> {
  if (asked.do === 'begin') return begin(asked.argv, asked.directory);
  if (!port) throw new Error('there is no guest');
  const began = performance.now();
  if (asked.do === 'ping') await port.ping(new Uint8Array());
  else {
    const payload = Buffer.alloc(MAX_PAYLOAD, 'x');
    let left = Math.ceil(asked.bytes / MAX_PAYLOAD);
    const some = async (): Promise<void> => {
      while (left-- > 0) await port?.ping(payload);
    };
    await Promise.all(Array.from({ length: UNDER_WAY }, some));
  }
  return performance.now() - began;
}

async function begin(argv: readonly string[], directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const template = templateOf(argv);
  const own = ownOf(template, 1, directory, false);
  if (template.overlay) new OverlayBytes(template.overlay.backing, join(directory, 'template')).write(own.overlay);
  const socket = own.argv
    .map((word) => /^socket,id=agent,path=([^,]+)/.exec(word)?.[1])
    .find((path) => path !== undefined);
  if (socket === undefined) throw new Error('the microVM has no port for an agent');
  // Without an interface: nothing of this goes over one.
  const isNet = (word: string | undefined): boolean => /^tap,|"driver":"virtio-net/.test(word ?? '');
  const [program, ...args] = own.argv.filter((word, i) => !isNet(word) && !isNet(own.argv[i + 1]));
  child = spawn(program ?? '', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const end = performance.now() + UP_MS;
  for (port = undefined; !port; await sleep(20)) {
    if (performance.now() > end || child.exitCode !== null) throw new Error(`nobody serves ${socket}`);
    port = await Port.at(socket);
  }
  await port.ready;
}

class Port {
  readonly ready: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting: (() => void)[] = [];
  #mark: Buffer;

  static at(path: string): Promise<Port | undefined> {
    return new Promise((resolve) => {
      const socket = connect(path);
      socket.once('error', () => resolve(undefined));
      socket.once('connect', () => resolve(new Port(socket)));
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#mark = newMark();
    const decoder = new PortDecoder(this.#mark);
    socket.on('data', (bytes: Buffer) => {
      for (const news of decoder.push(bytes)) {
        if (news === 'lost') throw new Error('the agent lost the thread');
        if (news === 'ready') resolve();
        else if (news === 'started') {
          this.#mark = newMark();
          decoder.greetAgain(this.#mark);
          socket.write(greeting(this.#mark));
        } else if (news.type === FRAME.pong) this.#waiting.shift()?.();
      }
    });
    socket.write(greeting(this.#mark));
  }

  ping(payload: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#socket.write(portFrame(this.#mark, FRAME.ping, 0, payload));
    });
  }
}

function newMark(): Buffer {
  const mark = randomBytes(16);
  mark[0] = (mark[0] ?? 0) | 1; // zeros are what is between
  return mark;
}
