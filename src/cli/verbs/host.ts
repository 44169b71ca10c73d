import type { Command } from 'commander';
import { CordonHostResponseSchema, UncordonHostResponseSchema } from '../../gen/flintlock/microvm/v1/host_pb.ts';
import { quick } from '../client.ts';
import type { Configure, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { outputOption } from '../options.ts';
import { jsonOf, type Structured, structuredText } from '../print/structured.ts';

interface Options {
  readonly output?: Structured;
  readonly reason?: string;
}

export const configure: Configure = (command, act) => {
  command.helpCommand(false).addHelpText('after', EXAMPLES);
  const sub = (name: string, summary: string): Command =>
    command
      .command(name)
      .description(summary)
      .addOption(outputOption('json', 'yaml'))
      .showHelpAfterError(`Try: flintlock host ${name} --help`);
  const cordoning = sub('cordon', 'take no more microVMs; what is there goes on')
    .option('--reason <text>', 'one line for who is turned away')
    .addHelpText('after', CORDON_EXAMPLES);
  cordoning.action(() => act((context) => cordon(context, cordoning.opts<Options>())));
  const uncordoning = sub('uncordon', 'take microVMs again').addHelpText(
    'after',
    '\nExamples:\n  flintlock host uncordon\n  flintlock --context lab-2 host uncordon\n',
  );
  uncordoning.action(() => act((context) => uncordon(context, uncordoning.opts<Options>())));
};

async function cordon(context: Context, { output, reason = '' }: Options): Promise<number> {
  const host = await (await context.clients()).host();
  const answer = await host.cordonHost({ reason }, quick(context.io.interrupt));
  await context.out(
    output
      ? await structuredText(jsonOf(CordonHostResponseSchema, answer), output)
      : 'cordoned: creates are refused, what is here goes on\n',
  );
  return EXIT.done;
}

async function uncordon(context: Context, { output }: Options): Promise<number> {
  const host = await (await context.clients()).host();
  const answer = await host.uncordonHost({}, quick(context.io.interrupt));
  await context.out(
    output
      ? await structuredText(jsonOf(UncordonHostResponseSchema, answer), output)
      : 'uncordoned: creates are taken again\n',
  );
  return EXIT.done;
}

const EXAMPLES = `
Examples:
  flintlock host cordon --reason 'new kernel tonight'
  flintlock info                       # says whether it is cordoned
  flintlock host uncordon
`;

const CORDON_EXAMPLES = `
Creates are refused with RESOURCE_EXHAUSTED and the reason HostCordoned, so that schedulers take another host. It is kept
over restarts of the daemon. A second one changes the reason.

Examples:
  flintlock host cordon
  flintlock host cordon --reason 'new kernel tonight'
`;
