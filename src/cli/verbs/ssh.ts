import type { Configure, Context } from '../context.ts';
import { EXIT, Problem } from '../exit.ts';
import { hostNameOf, SSH_PORT, sshWay } from '../ssh-way.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly login?: string;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .argument('[arguments...]', 'for ssh, behind the host: its options, and a command')
    .usage('[options] <vm> [--] [arguments...]')
    .option('-l, --login <user>', 'the user to log in as (default: as ssh is configured, else your own name)')
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action((name: string, words: string[], options: Options) => act((context) => ssh(context, name, words, options)));
};

async function ssh(context: Context, name: string, words: readonly string[], { login }: Options): Promise<number> {
  const { io } = context;
  const vm = await find(context, parseTarget(name));
  const options = sshWay(context, vm, SSH_PORT).flatMap(([option, value]) => ['-o', `${option}=${value}`]);
  const user = login === undefined ? [] : ['-l', login];
  const rest = words[0] === '--' ? words.slice(1) : words;
  const { token } = context.reachFlags();
  const status = await io.run(['ssh', ...options, ...user, hostNameOf(vm), ...rest], {
    // What runs between us and the daemon needs it, too.
    env: token === undefined ? io.env : { ...io.env, FLINTLOCK_TOKEN: token },
    signal: io.interrupt,
  });
  if (status !== undefined) return status;
  throw new Problem(EXIT.failed, 'There is no ssh on this machine', {
    hints: [
      'Install OpenSSH (Debian: apt-get install openssh-client), or take "flintlock exec -it VM", which needs none.',
    ],
  });
}

const EXAMPLES = `
The system's own ssh is run, with a ProxyCommand that goes through the daemon and the guest's agent to port 22 of the
guest: it needs no network, and the daemon may be far away. An SSH server must run in the guest, and you need a user and a
key or password there. The key of the guest's server is kept under the microVM's uid in
~/.local/state/flintlock/known_hosts; a new one is taken, a changed one refused. ssh calls the guest ID.NAMESPACE.flintlock,
and its configuration may have a section for that name, or for *.flintlock. The exit status is ssh's.

For scp, sftp and editors: see flintlock ssh-config --help.

Examples:
  flintlock ssh web
  flintlock ssh -l root web -- uptime
  flintlock ssh -l root web -- -L 8080:localhost:80 -N
`;
