import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const RETRY_MS = 2;
const GREETED_MS = 120_000;

/** As little of QEMU's control protocol as it takes to know that a guest runs. */
export class FloorQmp {
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #rest = '';
  #next = (): void => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => this.#next());
    socket.on('close', () => this.#next());
    socket.on('data', (data: Buffer) => {
      const lines = (this.#rest + data.toString()).split('\n');
      this.#rest = lines.pop() ?? '';
      this.#lines.push(...lines);
      this.#next();
    });
  }

  /** Once QEMU has greeted. */
  static async connect(path: string): Promise<FloorQmp> {
    const end = performance.now() + GREETED_MS;
    for (;;) {
      const socket = await tried(path);
      if (socket) {
        const qmp = new FloorQmp(socket);
        await qmp.#line((line) => line.includes('"QMP"'));
        await qmp.execute('qmp_capabilities');
        return qmp;
      }
      if (performance.now() > end) throw new Error(`nobody serves ${path}`);
      await sleep(RETRY_MS);
    }
  }

  /** @returns the line of the answer */
  execute(command: string): Promise<string> {
    this.#socket.write(`{"execute":"${command}"}\n`);
    return this.#line((line) => line.includes('"return"'));
  }

  close(): void {
    this.#socket.destroy();
  }

  async #line(isIt: (line: string) => boolean): Promise<string> {
    for (;;) {
      while (this.#lines.length > 0) {
        const line = this.#lines.shift() ?? '';
        if (isIt(line)) return line;
      }
      if (this.#socket.destroyed) throw new Error('the VMM has ended');
      await new Promise<void>((resolve) => {
        this.#next = resolve;
      });
    }
  }
}

function tried(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const refused = (): void => resolve(undefined);
    socket.once('error', refused);
    socket.once('connect', () => {
      socket.off('error', refused);
      resolve(socket);
    });
  });
}
