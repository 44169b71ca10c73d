import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Option } from 'commander';
import type { Configure, Context } from '../context.ts';
import { duration } from '../duration.ts';
import { type ExecWanted, execIn } from '../exec-in.ts';
import { EXIT, Problem } from '../exit.ts';
import { nameOf, uidOf } from '../print/microvm.ts';
import { printable } from '../print/style.ts';
import { more, variablesOf } from '../process-flags.ts';
import { find, parseTarget } from '../target.ts';

interface Options {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly timeout?: number;
}

/** The user's own shell, as a login begins it. */
const SHELL = 'if [ -x "$SHELL" ]; then exec "$SHELL" -l; else exec sh -l; fi';

export const configure: Configure = (command, act) => {
  command
    .argument('<vm>', 'the microVM: ID, NAMESPACE/ID or uid')
    .argument('[command...]', 'what to run, and its arguments; with -i or -t a shell where there is none')
    .usage('[options] <vm> [--] [command...]')
    .option('-i, --interactive', 'standard input goes to it; without this it has none')
    .option('-t, --tty', 'it gets a terminal')
    .option(
      '-e, --env <name=value>',
      'a variable, or NAME alone: with the value that it has here; again for more',
      more,
    )
    .option(
      '-u, --user <user>',
      "NAME, UID, NAME:GROUP or UID:GID of the guest (default: that of the spec's process or of its image, or root)",
    )
    .option(
      '-w, --workdir <directory>',
      "where it begins (default: that of the spec's process or of its image, or the user's home)",
    )
    .addOption(new Option('--timeout <time>', 'end it after: 10s, 2m, 1h').argParser(duration))
    .passThroughOptions()
    .addHelpText('after', EXAMPLES)
    .action((name: string, words: string[], options: Options) =>
      act(async (context) => {
        const wanted = wantedOf(context, words, options);
        const vm = await find(context, parseTarget(name));
        try {
          return await execIn(context, uidOf(vm), wanted);
        } catch (error) {
          throw await context.explain(error, `Cannot run it in ${printable(nameOf(vm))}`);
        }
      }),
    );
};

function wantedOf({ io }: Context, words: readonly string[], options: Options): ExecWanted {
  const { interactive = false, tty = false, env = [], user = '', workdir = '', timeout = 0 } = options;
  const [command, ...args] = words[0] === '--' ? words.slice(1) : words;
  if (command === '' || (command === undefined && !interactive && !tty))
    throw new Problem(EXIT.usage, 'Say what to run: flintlock exec VM -- COMMAND …, or -it for a shell');
  return {
    ...(command === undefined ? { command: SHELL, args: [], shell: true } : { command, args, shell: false }),
    ...{ user, directory: workdir, hasStdin: interactive, wantsTerminal: tty },
    environment: variablesOf(env, io.env),
    ...(timeout > 0 && { timeout: durationFromMs(timeout) }),
  };
}

const EXAMPLES = `
It runs inside the guest, by the guest's agent: the guests of docs/guests.md have one. What it writes to its two outputs
comes out here on the same, and its exit status is this command's: 127 where there is no such program, 126 where it
cannot be started, 128 + n where the signal n ended it, 143 when --timeout was over. Where flintlock itself fails, the
status is as of every verb, and a line that begins with "flintlock:" says why.

It has the variables, the user and the directory that the root volume's image and the spec's process say, as the image's
own program has; --env, --user and --workdir come before them: --user root where the image says another.

Ctrl-C sends the program SIGINT, a second one leaves it: its process group then gets SIGTERM, and SIGKILL 5 s later.
With -t, on a terminal, every key goes to the program, Ctrl-C too; Ctrl-], or Enter ~ ., leaves it.

Examples:
  flintlock exec web -- uname -a
  flintlock exec -it web
  tar c . | flintlock exec -i web -- tar x -C /srv
  flintlock exec --user nobody --env LANG=C.UTF-8 --workdir /tmp web -- sh -c 'id; pwd'
  flintlock exec --timeout 30s team-a/db -- sh -c 'until test -e /run/ready; do sleep 1; done'
`;
