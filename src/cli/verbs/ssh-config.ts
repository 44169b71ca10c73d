import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { nameOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { hostNameOf, SSH_PORT, sshWay } from '../ssh-way.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly login?: string;
}

export const configure: Configure = (command, act) => {
  command
    .argument('<vm...>', 'microVMs: ID, NAMESPACE/ID or uid')
    .option('-l, --login <user>', 'the user to log in as')
    .addHelpText('after', EXAMPLES)
    .action((names: string[], options: Options) => act((context) => sshConfig(context, names, options)));
};

async function sshConfig(context: Context, names: readonly string[], { login }: Options): Promise<number> {
  const targets = names.map(parseTarget);
  const blocks: string[] = [];
  for (const target of targets) {
    const vm = await find(context, target);
    const user = login === undefined ? [] : [['User', login]];
    const lines = [...sshWay(context, vm, SSH_PORT), ...user].map(([name, value]) => `  ${name} ${value}\n`);
    blocks.push(`# ${printable(nameOf(vm))}\nHost ${hostNameOf(vm)}\n${lines.join('')}`);
  }
  await context.out(blocks.join('\n'));
  if (context.reachFlags().token !== undefined)
    await context.err(
      'flintlock: The token is not in it: give it by --token-file, by a context or as FLINTLOCK_TOKEN\n',
    );
  return EXIT.done;
}

const EXAMPLES = `
It prints sections for ssh_config(5), in which the microVM is called ID.NAMESPACE.flintlock: for scp, sftp, rsync and
editors that work over SSH. The daemon is named as it is by the flags of this command; without any, each use takes
FLINTLOCK_HOST or the context in use at that time. A microVM that is made anew has another uid: print it again.

Examples:
  flintlock ssh-config -l root web >> ~/.ssh/config
  flintlock --context lab ssh-config web team-a/db > lab.conf
  scp -F lab.conf root@web.default.flintlock:/var/log/syslog .
`;
