import { createServer, type Socket } from 'node:net';

/** Speaks as QEMU's control socket does: one client at a time, answers by a table. */
export interface QmpServer extends AsyncDisposable {
  /** The commands that came, in order. */
  readonly commands: readonly string[];
  /** What the last of them was told. */
  readonly told: object | undefined;
  /** How many clients were greeted. */
  readonly greeted: number;
  /** What commands return; one without a row is answered with an error, `undefined` is never answered. */
  readonly answers: Map<string, unknown>;
  /** Commands that are refused, with what words. */
  readonly refusals: Map<string, string>;
  event(event: string, data?: object): void;
  /** Writes something else to the client. */
  raw(bytes: string | Uint8Array): void;
  /** Ends the connection, and goes on listening. */
  hangUp(): void;
  /** Answers all that was never answered. */
  answerLate(value: unknown): void;
  close(): Promise<void>;
}

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n';

export async function startQmpServer(path: string, greeting: string = GREETING): Promise<QmpServer> {
  const commands: string[] = [];
  const unanswered: unknown[] = [];
  const refusals = new Map<string, string>();
  let told: object | undefined;
  const answers = new Map<string, unknown>([
    ['qmp_capabilities', {}],
    ['query-status', { status: 'running', running: true }],
    ['cont', {}],
  ]);
  const sockets = new Set<Socket>();
  let client: Socket | undefined;
  let greeted = 0;
  const say = (message: object): void => void client?.write(`${JSON.stringify(message)}\r\n`);

  const server = createServer((socket) => {
    sockets.add(socket);
    client = socket;
    greeted++;
    let rest = '';
    socket.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const { execute, id, arguments: its } = JSON.parse(line);
        commands.push(execute);
        told = its;
        const desc = refusals.get(execute);
        if (desc !== undefined) say({ error: { class: 'GenericError', desc }, id });
        else if (!answers.has(execute)) say({ error: { class: 'CommandNotFound', desc: `no ${execute} here` }, id });
        else if (answers.get(execute) === undefined) unanswered.push(id);
        else say({ return: answers.get(execute), id });
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.write(greeting);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));

  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  return {
    commands,
    refusals,
    get told() {
      return told;
    },
    get greeted() {
      return greeted;
    },
    answers,
    event: (event, data = {}) => say({ timestamp: { seconds: 1, microseconds: 2 }, event, data }),
    raw: (bytes) => void client?.write(bytes),
    hangUp: () => void client?.destroy(),
    answerLate: (value) => {
      for (const id of unanswered.splice(0)) say({ return: value, id });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
