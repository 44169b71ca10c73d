import { Argument, type Command } from 'commander';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { bashScript, fishScript, type VerbWords, zshScript } from '../print/completion.ts';
import { VERBS } from './index.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };
type Shell = keyof typeof SCRIPTS;

export const configure: Configure = (command, act) => {
  command
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell) => act((context) => print(context, shell, command)));
};

async function print(context: Context, shell: Shell, { parent }: Command): Promise<number> {
  const { configure: fill } = await import('../program.ts');
  const never = async (): Promise<void> => undefined;
  const words: VerbWords[] = [];
  for (const { name, aliases = [], summary } of VERBS) {
    const verb = parent?.createCommand(name);
    if (!verb) continue;
    await fill(verb, never);
    words.push({
      names: [name, ...aliases],
      summary,
      options: verb.options.map(({ short, long, description, argChoices, required }) => ({
        names: [short, long].filter((n) => n !== undefined),
        description,
        choices: argChoices ?? [],
        takesValue: required,
      })),
      choices: verb.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
      takesVm: verb.registeredArguments.some((argument) => argument.name() === 'vm'),
    });
  }
  await context.out(SCRIPTS[shell](words));
  return EXIT.done;
}

const EXAMPLES = `
Examples:
  source <(flintlock completion bash)
  flintlock completion zsh > ~/.zfunc/_flintlock
  flintlock completion fish > ~/.config/fish/completions/flintlock.fish
`;
