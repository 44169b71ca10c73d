import { isIP } from 'node:net';
import type { Configure, Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { joinPort } from '../join-port.ts';
import { LocalPorts } from '../local-ports.ts';
import { farText, parseFarPort, parsePortMap } from '../port-maps.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly to?: string;
  readonly stdio?: boolean;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .argument('<ports...>', '[ADDRESS:]LOCAL:REMOTE, or PORT for the same one on both sides')
    .option('--to <address>', "the server's IP address, as the guest reaches it (default: its own 127.0.0.1, or ::1)")
    .option('--stdio', 'connect standard input and output to one port, for another program to use')
    .addHelpText('after', EXAMPLES)
    .action((name: string, ports: string[], options: Options) =>
      act((context) => (options.stdio ? stdio(context, name, ports, options) : listen(context, name, ports, options))),
    );
};

async function listen(context: Context, name: string, ports: readonly string[], options: Options): Promise<number> {
  const { io } = context;
  const maps = ports.map(parsePortMap);
  const host = hostOf(options);
  const vm = await find(context, parseTarget(name));
  const shown = printable(nameOf(vm));
  const local = new LocalPorts(context, { uid: uidOf(vm), host, name: shown });
  try {
    const lines: string[] = [];
    for (const map of maps) lines.push(`${await local.listen(map)} -> ${shown} ${printable(farText(map.far))}\n`);
    await context.out(lines.join(''));
    await context.hint('Ctrl-C ends it.');
    await Promise.race([local.gone, ended(io.interrupt), ended(io.unread)]);
    return EXIT.done;
  } finally {
    await local.close();
  }
}

async function stdio(context: Context, name: string, ports: readonly string[], options: Options): Promise<number> {
  const [port = '', ...more] = ports;
  if (more.length > 0) throw new Problem(EXIT.usage, '--stdio takes one port: the one in the guest');
  const far = parseFarPort(port);
  const host = hostOf(options);
  const { io } = context;
  const vm = await find(context, parseTarget(name));
  const keyboard = io.stdin();
  const over = new AbortController();
  const signal = AbortSignal.any([io.interrupt, io.unread, over.signal]);
  const near = {
    bytes: keyboard,
    write: (bytes: Uint8Array) => io.stdout.write(bytes),
    // Who reads our output learns of its end by ours.
    end: () => over.abort(new Error('the server has ended it')),
  };
  try {
    await joinPort(context, { uid: uidOf(vm), host, far }, near, signal);
    return EXIT.done;
  } catch (error) {
    // ssh ends its ProxyCommand by a signal: that is no failure to be told of.
    if (signal.aborted) return EXIT.done;
    throw await context.explain(error, `Cannot forward to ${printable(`${farText(far)} of ${nameOf(vm)}`)}`);
  } finally {
    keyboard.close();
  }
}

function hostOf({ to = '' }: Options): string {
  const host = to.replace(/^\[(.*)\]$/, '$1');
  if (host !== '' && isIP(host) === 0) throw new Problem(EXIT.usage, `--to "${to}" is no IP address`);
  return host;
}

const ended = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const EXAMPLES = `
What connects to LOCAL on this machine is connected to REMOTE in the guest, by the guest's agent and over the connection
to the daemon: the guest needs no network for it, and the daemon may be far away. It listens on 127.0.0.1 unless ADDRESS
says another; LOCAL 0 takes a port that is free, and the lines that are printed say which. REMOTE may be the path of a
unix socket in the guest.

Where nobody listens in the guest, that one connection is closed and it is told; later ones are tried anew. It goes on
over reboots of the guest and restarts of the daemon, until Ctrl-C or until the microVM is deleted.

Examples:
  flintlock forward web 8080:80
  flintlock forward web 8080:80 127.0.0.1:5432 0:9090
  flintlock forward team-a/db 0.0.0.0:15432:5432
  flintlock forward web 2375:/run/docker.sock
  flintlock forward --stdio web 22
`;
