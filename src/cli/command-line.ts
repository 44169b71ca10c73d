import { Command } from 'commander';
import type { Act } from './context.ts';
import { VERBS } from './verbs/index.ts';

interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** The whole command line. A verb's own part is loaded when it is asked for: few are, and starting quickly matters. */
export function createProgram(act: Act, output: Output): Command {
  const program = new Command('flintlock')
    .description('Makes microVMs on this host, or another, and tells the truth about them.')
    .usage('[--host ADDRESS | --context NAME] VERB …')
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
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [verb]', 'show the help of a verb')
    .addHelpText('after', HELP);
  for (const [flag, help] of GLOBALS) program.option(flag, help);
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

/** Each has a variable, which the flag stands over. */
const GLOBALS = [
  [
    '--host <address>',
    'the daemon: HOST:PORT, https://HOST:PORT or unix:///path (env FLINTLOCK_HOST; default: the context in use, else /run/flintlock/api.sock if it is there, else localhost:9090)',
  ],
  ['--context <name>', 'a daemon that "flintlock context add" has remembered (env FLINTLOCK_CONTEXT)'],
  ['--token-file <file>', 'the file with the token to call with (env FLINTLOCK_TOKEN_FILE)'],
  ['--token <token>', 'the token itself: better in the file, or in env FLINTLOCK_TOKEN, since everybody sees flags'],
  ['--tls-ca <file>', "TLS, with the authority that signed the daemon's certificate (PEM; env FLINTLOCK_TLS_CA)"],
  ['--tls-cert <file>', 'TLS, with a certificate of your own (PEM; env FLINTLOCK_TLS_CERT)'],
  ['--tls-key <file>', 'its private key (PEM; env FLINTLOCK_TLS_KEY)'],
  [
    '--tls-server-name <name>',
    "the name in the daemon's certificate, where it is not the host's (env FLINTLOCK_TLS_SERVER_NAME)",
  ],
] as const;

/** All that take a value and stand before the verb. */
export const GLOBAL_FLAGS: readonly string[] = GLOBALS.map(([flag]) => flag.split(' ')[0] ?? '');

const HELP = `
A microVM is named by ID, NAMESPACE/ID (the namespace is "default" where none is given) or its uid.

Exit status: 0 done, 1 failed, 2 wrong usage or a malformed spec, 3 not found, 4 timed out, 5 the microVM is FAILED.

Examples:
  flintlock run --rm oci:images:root
  flintlock create -f spec.yaml --wait
  flintlock list -A
  flintlock exec web -- uname -a
  flintlock cp web:/var/log/app.log .
  flintlock console -f default/web
  flintlock --host unix:///run/flintlock/api.sock info
  flintlock --host lab.example:9090 --tls-ca ca.pem --token-file lab.token list
  flintlock delete web --wait
`;
