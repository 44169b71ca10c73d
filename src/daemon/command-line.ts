import { Command, Option } from 'commander';
import { CONFIG_VARIABLE, meant } from './config.ts';
import { SETTING_TEXTS } from './describe.ts';
import { environmentName } from './settings.ts';

/** A command's flags, in camel case. */
export type Options = Record<string, unknown>;

export interface Actions {
  /** @param wrong - what of the command line is wrong: it is told with the rest */
  run(options: Options, wrong: readonly string[]): Promise<void>;
  tearDown(options: Options, wrong: readonly string[]): Promise<void>;
  example(): void;
}

/** The command line of the daemon. */
export function createProgram(version: string, actions: Actions): Command {
  const program = new Command('flintlockd')
    .description('Creates microVMs on this host and keeps them true to their spec')
    .version(version)
    .showHelpAfterError('(flintlockd --help lists the commands and flags)');
  const run = program.command('run').description('serve, in the foreground');
  withSettings(run, EXAMPLES)
    .addOption(
      new Option('--config-check [format]', 'print what is in force and where each value came from, and end')
        .choices(['yaml', 'json'])
        .preset('yaml'),
    )
    .action((options: Options) => actions.run(options, strangers(run)));
  const teardown = program
    .command('teardown')
    .description('remove the managed network that outlives the daemon; no microVM may be left');
  withSettings(teardown, TEARDOWN_EXAMPLES).action((options: Options) =>
    actions.tearDown(options, strangers(teardown)),
  );
  program
    .command('config-example')
    .description('print a configuration file with every key, its default and what it does')
    .addHelpText('after', '\nExample:\n  flintlockd config-example > /etc/flintlock.yaml')
    .action(actions.example);
  return program;
}

function withSettings(command: Command, examples: string): Command {
  for (const { name, value, repeatable, help, standard } of SETTING_TEXTS) {
    // Go's flags are given as --insecure or --insecure=true; of its -v both programs mean the same.
    const long = name === 'verbosity' ? `-v, --${name}` : `--${name}`;
    const flag = value === 'true|false' ? `${long} [${value}]` : `${long} <${value}>`;
    const option = new Option(flag, `${help}${repeatable ? ' (repeatable)' : ''} [${standard}]`);
    if (value === 'true|false')
      option
        .preset(true)
        .argParser((text: string | true) => ({ true: true, '1': true, false: false, '0': false })[`${text}`] ?? text);
    if (repeatable)
      option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
    command.addOption(option);
  }
  return command
    .option('--config <FILE>', `a YAML file with the settings, named as the flags (env ${CONFIG_VARIABLE})`)
    .allowUnknownOption() // they are told of with all else that is wrong
    .allowExcessArguments()
    .addHelpText(
      'after',
      `\nA flag wins over the environment, that over the file, that over the default in brackets. Every flag has an\nenvironment variable: --state-dir is ${environmentName('state-dir')}; several values are split at commas.\n${examples}`,
    );
}

/** What stands on the command line and is nothing that we know. */
function strangers(command: Command): string[] {
  const flags = command.args.filter((text) => text.startsWith('-'));
  const known = command.options.flatMap(({ long }) => long ?? []);
  // What follows an unknown flag may be its value.
  if (flags.length === 0) return command.args.map((text) => `unexpected argument "${text}"`);
  return flags.map((text) => `unknown flag ${text}${meant(text.split('=')[0] ?? text, known)}`);
}

const EXAMPLES = `
Examples:
  sudo bin/flintlockd run --grpc-endpoint unix:///run/flintlock/api.sock --image-root /srv/images
  sudo bin/flintlockd run --insecure --managed-network 10.77.0.0/24
  sudo bin/flintlockd run --config /etc/flintlock.yaml --config-check`;

const TEARDOWN_EXAMPLES = `
Examples:
  sudo bin/flintlockd teardown
  sudo bin/flintlockd teardown --state-dir /srv/flintlock`;
