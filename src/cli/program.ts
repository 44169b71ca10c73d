import { Command, Option } from 'commander';
import type { Act } from './context.ts';
import { VERBS } from './verbs/index.ts';

interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** The whole command line. A verb's own part is loaded when it is asked for: few are, and starting quickly matters. */
export function createProgram(act: Act, env: Readonly<Record<string, string | undefined>>, output: Output): Command {
  const program = new Command('flintlock')
    .description('Makes microVMs on this host, or another, and tells the truth about them.')
    .usage('[--host ADDRESS] VERB …')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.out(text),
      writeErr: (text) => output.err(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'flintlock: ')),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({ subcommandTerm: (verb) => [verb.name(), ...verb.aliases()].join(', ') })
    .enablePositionalOptions()
    .addOption(hostOption(env))
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [verb]', 'show the help of a verb')
    .addHelpText('after', HELP);
  for (const { name, aliases, summary } of VERBS)
    program
      .command(name)
      .aliases([...(aliases ?? [])])
      .description(summary)
      .showHelpAfterError(`Try: flintlock ${name} --help (global flags such as --host stand before the verb)`);
  program.hook('preSubcommand', (_, command) => configure(command, act));
  return program;
}

/** Every verb of a program, filled in. */
export async function allVerbs(program: Command, act: Act): Promise<readonly Command[]> {
  for (const command of program.commands) await configure(command, act);
  return program.commands;
}

/** Fills in a verb's arguments and options. */
async function configure(command: Command, act: Act): Promise<void> {
  const verb = VERBS.find(({ name }) => name === command.name());
  (await verb?.load())?.configure(command, act);
}

function hostOption(env: Readonly<Record<string, string | undefined>>): Option {
  const option = new Option(
    '--host <address>',
    'the daemon: HOST:PORT or unix:///path (env FLINTLOCK_HOST; default: /run/flintlock/api.sock if it is there, else localhost:9090)',
  );
  return env.FLINTLOCK_HOST ? option.default(env.FLINTLOCK_HOST, 'from FLINTLOCK_HOST') : option;
}

const HELP = `
A microVM is named by ID, NAMESPACE/ID (the namespace is "default" where none is given) or its uid.

Exit status: 0 done, 1 failed, 2 wrong usage or a malformed spec, 3 not found, 4 timed out, 5 the microVM is FAILED.

Examples:
  flintlock run --rm oci:images:root
  flintlock create -f spec.yaml --wait
  flintlock list -A
  flintlock console -f default/web
  flintlock --host unix:///run/flintlock/api.sock info
  flintlock delete web --wait
`;
