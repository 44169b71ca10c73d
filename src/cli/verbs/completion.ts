import { Argument, type Command, type Option } from 'commander';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { bashScript, fishScript, type VerbWords, zshScript } from '../print/completion.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };
type Shell = keyof typeof SCRIPTS;

export const configure: Configure = (command, act) => {
  command
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => act((context) => print(context, shell)));
};

async function print(context: Context, shell: Shell): Promise<number> {
  const words = (await context.verbs()).map(wordsOf);
  await context.out(SCRIPTS[shell](words));
  return EXIT.done;
}

function wordsOf(verb: Command): VerbWords {
  return {
    names: [verb.name(), ...verb.aliases()],
    summary: verb.description(),
    options: optionsOf(verb).map(({ short, long, description, argChoices, required }) => ({
      names: [short, long].filter((name) => name !== undefined),
      description,
      choices: argChoices ?? [],
      takesValue: required,
    })),
    choices: [
      ...verb.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
      ...verb.commands.map((sub) => sub.name()),
    ],
    takesVm: verb.registeredArguments.some((argument) => argument.name() === 'vm'),
  };
}

/** Its own, and those of the verbs below it: each once. */
function optionsOf(verb: Command): Option[] {
  const all = [verb, ...verb.commands].flatMap(({ options }) => options);
  return [...new Map(all.map((option) => [option.flags, option])).values()];
}

const EXAMPLES = `
Examples:
  source <(flintlock completion bash)
  flintlock completion zsh > ~/.zfunc/_flintlock
  flintlock completion fish > ~/.config/fish/completions/flintlock.fish
`;
